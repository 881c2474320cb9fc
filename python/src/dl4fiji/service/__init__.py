"""The service: jobs and models over HTTP on this computer's loopback, for Fiji, the command line and browsers."""
