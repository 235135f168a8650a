"""Reports of an audit: HTML, signed JSON, SARIF, CycloneDX.

What may enter: results of ``exposure`` and the crosswalk of ``standards``.
"""
