"""`install` and `uninstall`: the entry of this server in the configuration file of a client."""
