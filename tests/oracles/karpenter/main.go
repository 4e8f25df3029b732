// Asks Karpenter's own provisioner how many pods it places: worlds as JSON in, counts out, a line each.
//
// A world is what its scheduling looks at: NodePools, machines that are there or ordered, the pods on them, DaemonSets,
// and the machine types of a cloud. Pods of one template wait; what Karpenter decides is done (machines come, pods are
// on them), and it is asked again, until it buys no more. So what it leaves is what it would never place.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sort"

	"github.com/awslabs/operatorpkg/status"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"sigs.k8s.io/karpenter/kwok/apis/v1alpha1"
	v1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/controllers/provisioning"
	provisioned "sigs.k8s.io/karpenter/pkg/controllers/provisioning/scheduling"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	"sigs.k8s.io/karpenter/pkg/events"
	"sigs.k8s.io/karpenter/pkg/operator/injection"
	"sigs.k8s.io/karpenter/pkg/operator/logging"
	"sigs.k8s.io/karpenter/pkg/operator/options"
	"sigs.k8s.io/karpenter/pkg/scheduling"
)

const rounds = 100 // after which a world is taken to have no end

type offering struct {
	Labels    map[string]string
	Price     float64
	Available bool
	Reserved  int // machines that are reserved
}

type machineType struct {
	Name      string
	Labels    map[string][]string
	Capacity  corev1.ResourceList
	Overhead  corev1.ResourceList
	Real      corev1.ResourceList // what a machine has more than the cloud says, once its device plugins run
	Offerings []offering
}

type world struct {
	Pools      []*v1.NodePool
	Nodes      []*corev1.Node
	Claims     []*v1.NodeClaim
	Pods       []*corev1.Pod
	DaemonSets []*appsv1.DaemonSet
	Types      []machineType
	Pod        *corev1.Pod // of which `Count` wait
	Count      int
	Pick       string // which of the types that Karpenter allows the cloud gives: cheapest or largest
}

type answer struct {
	There    int      // pods on machines that were there
	Ordered  int      // pods on machines that were ordered
	Bought   int      // pods on machines that were bought
	Machines []string // that were bought
	Left     string   // what Karpenter says of a pod that it does not place
	Error    string
}

// cloud offers the types of a world, whatever the pool; nothing else is asked of it here.
type cloud struct {
	cloudprovider.CloudProvider
	types []*cloudprovider.InstanceType
}

func (c *cloud) GetInstanceTypes(context.Context, *v1.NodePool) ([]*cloudprovider.InstanceType, error) {
	return c.types, nil
}

func (c *cloud) Name() string { return "world" }

func (c *cloud) RepairPolicies() []cloudprovider.RepairPolicy { return nil }

func (c *cloud) GetSupportedNodeClasses() []status.Object {
	return []status.Object{&v1alpha1.KWOKNodeClass{}}
}

func instanceType(one machineType) *cloudprovider.InstanceType {
	zones, kinds := map[string]bool{}, map[string]bool{}
	offerings := cloudprovider.Offerings{}
	for _, part := range one.Offerings {
		requirements := scheduling.NewLabelRequirements(part.Labels)
		zones[part.Labels[corev1.LabelTopologyZone]] = true
		kinds[part.Labels[v1.CapacityTypeLabelKey]] = true
		offerings = append(offerings, &cloudprovider.Offering{
			Requirements: requirements, Price: part.Price, Available: part.Available, ReservationCapacity: part.Reserved,
		})
	}
	requirements := scheduling.NewRequirements(
		scheduling.NewRequirement(corev1.LabelInstanceTypeStable, corev1.NodeSelectorOpIn, one.Name),
		scheduling.NewRequirement(corev1.LabelArchStable, corev1.NodeSelectorOpIn, "amd64"),
		scheduling.NewRequirement(corev1.LabelOSStable, corev1.NodeSelectorOpIn, "linux"),
		scheduling.NewRequirement(corev1.LabelTopologyZone, corev1.NodeSelectorOpIn, keys(zones)...),
		scheduling.NewRequirement(v1.CapacityTypeLabelKey, corev1.NodeSelectorOpIn, keys(kinds)...),
	)
	for key, values := range one.Labels {
		v1.WellKnownLabels = v1.WellKnownLabels.Insert(key)
		operator := corev1.NodeSelectorOpIn
		if len(values) == 0 {
			operator = corev1.NodeSelectorOpDoesNotExist
		}
		requirements.Add(scheduling.NewRequirement(key, operator, values...))
	}
	return &cloudprovider.InstanceType{
		Name: one.Name, Requirements: requirements, Offerings: offerings, Capacity: one.Capacity,
		Overhead: &cloudprovider.InstanceTypeOverhead{KubeReserved: one.Overhead},
	}
}

func keys(of map[string]bool) []string {
	found := []string{}
	for key := range of {
		found = append(found, key)
	}
	sort.Strings(found)
	return found
}

// site is a world in which things happen.
type site struct {
	world       world
	client      client.Client
	cluster     *state.Cluster
	cloud       *cloud
	provisioner *provisioning.Provisioner
	answer      answer
	origin      map[string]*int // by the name of a node or claim: where its pods are counted
	types       map[string]machineType
}

func open(ctx context.Context, one world) (*site, error) {
	found := &site{world: one, cloud: &cloud{}, origin: map[string]*int{}, types: map[string]machineType{}}
	for _, part := range one.Types {
		found.cloud.types = append(found.cloud.types, instanceType(part))
		found.types[part.Name] = part
	}
	build := fake.NewClientBuilder().WithScheme(scheme.Scheme)
	build = build.WithIndex(&corev1.Pod{}, "spec.nodeName", func(o client.Object) []string { return []string{o.(*corev1.Pod).Spec.NodeName} })
	build = build.WithIndex(&storagev1.VolumeAttachment{}, "spec.nodeName", func(o client.Object) []string { return []string{o.(*storagev1.VolumeAttachment).Spec.NodeName} })
	for _, pool := range one.Pools {
		build = build.WithObjects(pool)
	}
	for _, item := range one.DaemonSets {
		build = build.WithObjects(item)
	}
	for _, item := range one.Pods {
		build = build.WithObjects(item)
	}
	for _, item := range one.Nodes {
		build = build.WithObjects(item)
	}
	for _, item := range one.Claims {
		build = build.WithObjects(item)
	}
	for number := range one.Count {
		pod := one.Pod.DeepCopy()
		pod.Name = fmt.Sprintf("%s-%d", one.Pod.Name, number)
		pod.UID = types.UID(pod.Name)
		pod.Status.Phase = corev1.PodPending
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}
		build = build.WithObjects(pod)
	}
	found.client = build.Build()
	found.cluster = state.NewCluster(clock.RealClock{}, found.client, found.cloud)
	for _, item := range one.Claims {
		found.cluster.UpdateNodeClaim(item)
		found.origin[item.Name] = &found.answer.Ordered
	}
	for _, item := range one.Nodes {
		if err := found.cluster.UpdateNode(ctx, item); err != nil {
			return nil, err
		}
		found.origin[item.Name] = &found.answer.There
	}
	for _, item := range one.Pods {
		if err := found.cluster.UpdatePod(ctx, item); err != nil {
			return nil, err
		}
	}
	recorder := events.NewRecorder(&record.FakeRecorder{})
	found.provisioner = provisioning.NewProvisioner(found.client, recorder, found.cloud, found.cluster, clock.RealClock{}, nil, nil)
	return found, nil
}

// run lets Karpenter decide, and does what it decides, until it places no more.
func (s *site) run(ctx context.Context) error {
	for range rounds {
		results, err := s.provisioner.Schedule(ctx)
		if err != nil {
			return err
		}
		placed := 0
		for _, node := range results.ExistingNodes {
			if len(node.Pods) == 0 {
				continue
			}
			if node.Node == nil {
				if err := s.join(ctx, node.NodeClaim); err != nil {
					return err
				}
			}
			name := node.Name()
			if node.Node == nil {
				name = node.NodeClaim.Name
			}
			placed += len(node.Pods)
			if err := s.bind(ctx, node.Pods, name); err != nil {
				return err
			}
		}
		for _, order := range results.NewNodeClaims {
			name, err := s.buy(ctx, order)
			if err != nil {
				return err
			}
			if name == "" {
				continue
			}
			placed += len(order.Pods)
			if err := s.bind(ctx, order.Pods, name); err != nil {
				return err
			}
		}
		for _, problem := range results.PodErrors {
			s.answer.Left = problem.Error()
		}
		if placed == 0 {
			return nil
		}
	}
	return fmt.Errorf("it still places pods after %d rounds", rounds)
}

func (s *site) bind(ctx context.Context, pods []*corev1.Pod, node string) error {
	for _, planned := range pods {
		pod := &corev1.Pod{}
		if err := s.client.Get(ctx, client.ObjectKeyFromObject(planned), pod); err != nil {
			return err
		}
		pod.Spec.NodeName = node
		pod.Status.Phase = corev1.PodRunning
		if err := s.client.Update(ctx, pod); err != nil {
			return err
		}
		if err := s.cluster.UpdatePod(ctx, pod); err != nil {
			return err
		}
		*s.origin[node]++
	}
	return nil
}

// buy lets the cloud give one of the types that an order allows; empty where a limit keeps Karpenter from ordering.
func (s *site) buy(ctx context.Context, order *provisioned.NodeClaim) (string, error) {
	pool := &v1.NodePool{}
	if err := s.client.Get(ctx, types.NamespacedName{Name: order.NodePoolName}, pool); err != nil {
		return "", err
	}
	if pool.Spec.Limits.ExceededBy(s.cluster.NodePoolResourcesFor(order.NodePoolName)) != nil {
		return "", nil
	}
	claim := order.ToNodeClaim()
	requirements := scheduling.NewNodeSelectorRequirementsWithMinValues(claim.Spec.Requirements...)
	var given *cloudprovider.InstanceType
	var of *cloudprovider.Offering
	for _, one := range order.InstanceTypeOptions {
		offerings := one.Offerings.Launchable().Compatible(requirements)
		if len(offerings) == 0 {
			continue
		}
		cheapest := offerings.Cheapest()
		larger := given != nil && one.Capacity.Cpu().Cmp(*given.Capacity.Cpu()) > 0
		if given == nil || (s.world.Pick == "largest" && larger) || (s.world.Pick != "largest" && cheapest.Price < of.Price) {
			given, of = one, cheapest
		}
	}
	if given == nil {
		return "", fmt.Errorf("no type is left of an order of %s", order.NodePoolName)
	}
	claim.Name = fmt.Sprintf("%s-new-%d", order.NodePoolName, len(s.answer.Machines))
	claim.GenerateName = ""
	for key, requirement := range given.Requirements {
		if requirement.Operator() == corev1.NodeSelectorOpIn && requirement.Len() == 1 {
			claim.Labels[key] = requirement.Values()[0]
		}
	}
	for key, requirement := range of.Requirements {
		claim.Labels[key] = requirement.Values()[0]
	}
	claim.Status.ProviderID = "world://" + claim.Name
	claim.Status.Capacity, claim.Status.Allocatable = given.Capacity, given.Allocatable()
	if of.CapacityType() == v1.CapacityTypeReserved {
		of.ReservationCapacity--
	}
	s.answer.Machines = append(s.answer.Machines, given.Name)
	s.origin[claim.Name] = &s.answer.Bought
	if err := s.client.Create(ctx, claim); err != nil {
		return "", err
	}
	s.cluster.UpdateNodeClaim(claim)
	return claim.Name, s.join(ctx, claim)
}

// join makes an ordered machine a node, whole and ready.
func (s *site) join(ctx context.Context, claim *v1.NodeClaim) error {
	labels := map[string]string{corev1.LabelHostname: claim.Name, v1.NodeRegisteredLabelKey: "true", v1.NodeInitializedLabelKey: "true"}
	for key, value := range claim.Labels {
		labels[key] = value
	}
	capacity, allocatable := claim.Status.Capacity.DeepCopy(), claim.Status.Allocatable.DeepCopy()
	for resource, amount := range s.types[claim.Labels[corev1.LabelInstanceTypeStable]].Real {
		capacity[resource], allocatable[resource] = amount, amount
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: claim.Name, Labels: labels},
		Spec:       corev1.NodeSpec{ProviderID: claim.Status.ProviderID, Taints: claim.Spec.Taints},
		Status: corev1.NodeStatus{
			Capacity: capacity, Allocatable: allocatable,
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
	if err := s.client.Create(ctx, node); err != nil {
		return err
	}
	return s.cluster.UpdateNode(ctx, node)
}

func ask(ctx context.Context, one world) answer {
	opened, err := open(ctx, one)
	if err == nil {
		err = opened.run(ctx)
	}
	if err != nil {
		return answer{Error: err.Error()}
	}
	return opened.answer
}

func main() {
	log.SetLogger(logging.NopLogger)
	settings := &options.Options{
		CPURequests: 1000, PreferencePolicy: options.PreferencePolicyRespect, MinValuesPolicy: options.MinValuesPolicyStrict,
		IgnoreDRARequests: true, FeatureGates: options.DefaultFeatureGates(),
	}
	settings.FeatureGates.CapacityBuffer = false
	settings.FeatureGates.ReservedCapacity = true
	ctx := options.ToContext(injection.WithControllerName(context.Background(), "provisioner"), settings)
	lines, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	lines.Buffer(nil, 1<<26)
	for lines.Scan() {
		var one world
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := out.Encode(ask(ctx, one)); err != nil {
			os.Exit(1)
		}
	}
}
