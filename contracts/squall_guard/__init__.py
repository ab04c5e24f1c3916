"""Network namespaces that keep what runs in them from the machine, for runners and builders."""
