// The real HPA controller of Kubernetes, driven step by step in virtual time.
//
// It reads cases from the file named by HPA_CASES and writes what the controller did to HPA_ANSWERS, both JSON. Nothing
// of the controller is copied or reached into: it runs whole, between a fake scale client, a metrics client that says
// what the case says, and informers that hold one HPA and its pods. The clock is that of testing/synctest, so five
// minutes of stabilization pass at once, and this is a test binary because synctest wants one.
package oracle

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes/fake"
	autoscalinglisters "k8s.io/client-go/listers/autoscaling/v2"
	corelisters "k8s.io/client-go/listers/core/v1"
	scalefake "k8s.io/client-go/scale/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	defaults "k8s.io/kubernetes/pkg/apis/autoscaling/v2"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
)

const namespace, name = "ns", "app"

type metric struct {
	Kind   string `json:"kind"`
	Target int64  `json:"target"` // thousandths, as Value
	Value  *int64 `json:"value"`  // absent: the metric cannot be read
}

type step struct {
	Metrics []metric `json:"metrics"`
	Current *int32   `json:"current"` // somebody else sets the scale before this step
}

type testCase struct {
	Minimum   int32                                          `json:"minimum"`
	Maximum   int32                                          `json:"maximum"`
	Ready     int                                            `json:"ready"`
	Current   int32                                          `json:"current"`
	Every     float64                                        `json:"every"`
	Tolerance float64                                        `json:"tolerance"`
	Behavior  *autoscalingv2.HorizontalPodAutoscalerBehavior `json:"behavior"`
	Steps     []step                                         `json:"steps"`
}

type answer struct {
	Replicas int32  `json:"replicas"`
	Able     string `json:"able"`    // reason of the condition AbleToScale
	Limited  string `json:"limited"` // and of ScalingLimited
}

// informer is one that has already seen everything; it hands its objects to the controller once.
type informer struct {
	cache.SharedIndexInformer
	indexer cache.Indexer
}

func (i informer) HasSynced() bool       { return true }
func (i informer) GetStore() cache.Store { return i.indexer }

func (i informer) AddEventHandlerWithResyncPeriod(handler cache.ResourceEventHandler, _ time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	for _, object := range i.indexer.List() {
		handler.OnAdd(object, true)
	}
	return nil, nil
}

func newInformer(objects ...runtime.Object) informer {
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for _, object := range objects {
		if err := indexer.Add(object); err != nil {
			panic(err)
		}
	}
	return informer{indexer: indexer}
}

type hpaInformer struct{ informer }

func (i hpaInformer) Informer() cache.SharedIndexInformer { return i.informer }
func (i hpaInformer) Lister() autoscalinglisters.HorizontalPodAutoscalerLister {
	return autoscalinglisters.NewHorizontalPodAutoscalerLister(i.indexer)
}

type podInformer struct{ informer }

func (i podInformer) Informer() cache.SharedIndexInformer { return i.informer }
func (i podInformer) Lister() corelisters.PodLister       { return corelisters.NewPodLister(i.indexer) }

// script is the metrics client: it says what the step says.
type script struct {
	metrics.MetricsClient
	now *step
}

func (s script) GetExternalMetric(name string, _ string, _ labels.Selector) ([]int64, time.Time, error) {
	var index int
	if _, err := fmt.Sscanf(name, "m%d", &index); err != nil {
		return nil, time.Time{}, err
	}
	if value := s.now.Metrics[index].Value; value != nil {
		return []int64{*value}, time.Now(), nil
	}
	return nil, time.Time{}, fmt.Errorf("no value")
}

func manifest(c testCase) *autoscalingv2.HorizontalPodAutoscaler {
	hpa := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name},
			MinReplicas:    &c.Minimum,
			MaxReplicas:    c.Maximum,
			Behavior:       c.Behavior,
		},
	}
	for i, m := range c.Steps[0].Metrics {
		target := autoscalingv2.MetricTarget{Type: autoscalingv2.MetricTargetType(m.Kind)}
		if quantity := resource.NewMilliQuantity(m.Target, resource.DecimalSI); m.Kind == "Value" {
			target.Value = quantity
		} else {
			target.AverageValue = quantity
		}
		hpa.Spec.Metrics = append(hpa.Spec.Metrics, autoscalingv2.MetricSpec{
			Type: autoscalingv2.ExternalMetricSourceType,
			External: &autoscalingv2.ExternalMetricSource{
				Metric: autoscalingv2.MetricIdentifier{Name: fmt.Sprintf("m%d", i)}, Target: target,
			},
		})
	}
	defaults.SetObjectDefaults_HorizontalPodAutoscaler(hpa) // what the API server does with a manifest
	return hpa
}

func pods(ready int) []runtime.Object {
	objects := []runtime.Object{}
	for i := 0; i <= ready; i++ { // one more, which is not ready
		status := corev1.ConditionTrue
		if i == ready {
			status = corev1.ConditionFalse
		}
		objects = append(objects, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("p%d", i), Labels: map[string]string{"app": name}},
			Status: corev1.PodStatus{
				Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: status}},
			},
		})
	}
	return objects
}

func run(t *testing.T, c testCase) []answer {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	current, last, now := c.Current, answer{}, &c.Steps[0]

	scales := &scalefake.FakeScaleClient{}
	scales.AddReactor("get", "deployments", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, &autoscalingv1.Scale{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Spec:       autoscalingv1.ScaleSpec{Replicas: current},
			Status:     autoscalingv1.ScaleStatus{Replicas: current, Selector: "app=" + name},
		}, nil
	})
	scales.AddReactor("update", "deployments", func(action clienttesting.Action) (bool, runtime.Object, error) {
		scale := action.(clienttesting.UpdateAction).GetObject().(*autoscalingv1.Scale)
		current = scale.Spec.Replicas
		return true, scale, nil
	})
	client := &fake.Clientset{}
	client.AddReactor("update", "horizontalpodautoscalers", func(action clienttesting.Action) (bool, runtime.Object, error) {
		hpa := action.(clienttesting.UpdateAction).GetObject().(*autoscalingv2.HorizontalPodAutoscaler)
		for _, condition := range hpa.Status.Conditions {
			switch condition.Type {
			case autoscalingv2.AbleToScale:
				last.Able = condition.Reason
			case autoscalingv2.ScalingLimited:
				last.Limited = condition.Reason
			}
		}
		return true, hpa, nil
	})
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Group: "apps", Version: "v1"}})
	mapper.Add(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, meta.RESTScopeNamespace)

	every := time.Duration(c.Every * float64(time.Second))
	controller := podautoscaler.NewHorizontalController(
		ctx, client.CoreV1(), scales, client.AutoscalingV2(), mapper, &script{now: now},
		hpaInformer{newInformer(manifest(c))}, podInformer{newInformer(pods(c.Ready)...)},
		every, 5*time.Minute, c.Tolerance, 5*time.Minute, 30*time.Second,
	)
	if c.Steps[0].Current != nil {
		current = *c.Steps[0].Current
	}
	go controller.Run(ctx, 1)
	time.Sleep(every / 2) // the steps come at once, at every, 2 x every, ...; this looks between them

	answers := []answer{}
	for i := range c.Steps {
		if i > 0 {
			*now = c.Steps[i]
			if c.Steps[i].Current != nil {
				current = *c.Steps[i].Current
			}
			last = answer{}
			time.Sleep(every)
		}
		synctest.Wait()
		last.Replicas = current
		answers = append(answers, last)
	}
	cancel()
	time.Sleep(time.Hour) // everything that was started ends
	return answers
}

func TestAnswer(t *testing.T) {
	written, err := os.ReadFile(os.Getenv("HPA_CASES"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []testCase
	if err := json.Unmarshal(written, &cases); err != nil {
		t.Fatal(err)
	}
	utilruntime.ErrorHandlers = nil // they sleep, which would move the clock; errors are part of the cases
	all := [][]answer{}
	for _, c := range cases {
		synctest.Test(t, func(t *testing.T) { all = append(all, run(t, c)) })
	}
	written, err = json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(os.Getenv("HPA_ANSWERS"), written, 0o600); err != nil {
		t.Fatal(err)
	}
}
