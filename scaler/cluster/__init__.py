"""PURE: what Kubernetes' own controllers would do: HPA, KEDA, scheduler, Karpenter."""
