"""The keeper's walls, by ctypes: what the process gives up once the model is open.

One file a wall. Pure standard library; nothing of ours but ``errors``.
"""
