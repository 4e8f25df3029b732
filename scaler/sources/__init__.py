"""Where measurements come from. Blocking libraries only, and only in threads."""
