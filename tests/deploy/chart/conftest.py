"""The laboratory's own fixtures; its temporary folder is called `folder` here."""

from cluster.conftest import cluster, lab  # noqa: F401
from cluster.conftest import tmp_path as folder  # noqa: F401
