"""What an audit measures: a model, its data, and for each cell a target, knowledge and a judge.

What may enter: an opened model, the owner's data, addresses of served doors.
"""
