"""A fleet of inference replicas in software, and the loop of KEDA and HPA around it.

    trace ─▶ fleet ─▶ snapshot ─▶ policy ─▶ KEDA and HPA ─▶ fleet

Time is an argument everywhere, so the same code runs live at any speed, and a day in seconds.
"""
