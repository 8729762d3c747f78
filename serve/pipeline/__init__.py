"""One request's straight line: admission, render, engine, detokenise, stop, finish.

Text (UTF-8 boundaries, stop strings, tags) exists here, once, for every engine.
"""
