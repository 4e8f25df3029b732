"""What would have been: KEDA, the HPA and the triggers of one object, played again over its own past.

    record, or a trace of requests ─▶ replay.py: the load as it was, whatever the replicas
                                   └▶ fleet.py:  requests on a simulated fleet: fewer replicas mean longer queues
    an object as it is written     ─▶ subject.py: what it says ─▶ scalers.py: what its triggers answer
    two runs                       ─▶ judge.py: how well a replay agrees with what was; what a candidate costs

The triggers that ask llm-scaler are answered by the same fold that serves, `decide`. Pure: no clock, no I/O.
"""
