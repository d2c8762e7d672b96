"""The version of the bundle format: what a process writes, with bundler and without it.

`bundler.manifest` has its history, and takes the numbers from here: this module goes along into
environments that have never heard of bundler.
"""

FORMAT_MAJOR = 1
FORMAT_MINOR = 2
FORMAT = {"major": FORMAT_MAJOR, "minor": FORMAT_MINOR}
