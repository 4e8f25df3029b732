"""Read the engines' own metrics pages, without a Prometheus."""
