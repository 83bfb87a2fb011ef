"""One file a tool: how it is started, told of an epoch, stopped and read, in its own process.

`benchmarks.child` loads an adapter by its path, in the tool's own environment, and takes the time
that takes for the tool's import; so an adapter imports the tool and nothing else of weight. Each
has the functions of `benchmarks.child.Adapter`. Every tool is used as its documentation shows, with
one reading a second, without the network, and writing its files into the working directory.
"""
