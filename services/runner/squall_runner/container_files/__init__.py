"""The files of running containers, for those who may run commands there."""
