"""How a workload is wired to KEDA: what keeps it from scaling, and the ScaledObject that is right for it. Pure.

picture.py        all that was seen of one ScaledObject, at one time
finding.py        what is wrong, by what evidence, and what repairs it
rules/            one file a part of the way, one function a finding; one table, in the order of cause
report.py         findings as text and as JSON
behavior.py       what an HPA's behavior has to be for our answers
targets.py        the kinds that can be scaled
scaled_object.py  the ScaledObject to paste, with a reason for each line
"""
