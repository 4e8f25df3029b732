"""Follow the cluster: list and watch what a scaling decision needs to know."""
