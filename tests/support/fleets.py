"""KEDA and the HPA around a live world, second by second."""

from scaler.cluster.keda import ScalerAnswer


def drive(live, answer, until=None, poll=30.0, sync=15.0):
    """Advance second by second with KEDA's and the HPA's intervals; `answer` is of the view."""
    for at in range(int(live.now), int(until or live.scenario.end) + 1):
        live.advance(float(at))
        view = live.observe()
        if at % poll == 0:
            live.poll(answer(view))
        if at % sync == 0:
            live.sync(answer(view) if live.sync_reads() else None)
    return live


def by_load(view):
    load = view.queued + view.waiting + view.running
    return ScalerAnswer(-(-load // 12), active=load > 0)
