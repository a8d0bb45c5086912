"""Ray: connecting to a cluster and running trials on it; the only room that imports Ray."""

from recscale.cluster.environment import prepare_environment

prepare_environment()
