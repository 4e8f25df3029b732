"""Ask Ray Serve's own policy functions, in an environment of their own.

Reads one JSON object per line: the settings of an AutoscalingConfig under `config`, and `steps` of (seconds, ongoing
requests); answers each with the replicas of every step. What a step decides is carried out before the next one.
With `"exact": true` the load over the target is not multiplied by the replicas and divided by them again on the way.
"""

import json
import sys
import types

from ray.serve import autoscaling_policy
from ray.serve._private.common import TimeStampedValue
from ray.serve._private.metrics_utils import aggregate_timeseries
from ray.serve.config import AutoscalingConfig


def exactly(ctx):
    wanted = ctx.total_num_requests / ctx.config.get_target_ongoing_requests()
    return (wanted if ctx.current_num_replicas else ctx.target_num_replicas), {}


policies = {
    False: autoscaling_policy._apply_autoscaling_config(autoscaling_policy._core_replica_queue_length_policy),
    True: autoscaling_policy._apply_autoscaling_config(exactly),
}
clock = types.SimpleNamespace(now=0.0)
autoscaling_policy.time = types.SimpleNamespace(time=lambda: clock.now, monotonic=lambda: clock.now)


def replicas_of(case):
    config = AutoscalingConfig(min_replicas=0, max_replicas=1_000_000, **case["config"])
    replicas, state, seen, answers = case["replicas"], {}, [], []
    for at, value in case["steps"]:
        clock.now = at
        seen = [one for one in seen if one.timestamp > at - config.look_back_period_s]
        seen.append(TimeStampedValue(at, value))
        total = aggregate_timeseries(seen, config.aggregation_function, last_window_s=case["every"])
        context = types.SimpleNamespace(
            config=config,
            current_num_replicas=replicas,
            target_num_replicas=replicas,
            total_num_requests=total,
            policy_state=state,
        )
        replicas, state = policies[case["exact"]](context)
        answers.append(replicas)
    return answers


for line in sys.stdin:
    print(json.dumps(replicas_of(json.loads(line))), flush=True)
