"""Turn what users write into frozen values; an unknown key is refused."""
