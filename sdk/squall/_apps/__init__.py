"""An app from source files to a server: loaded, described, its images and content in place, run."""
