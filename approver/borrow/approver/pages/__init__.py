"""The pages people open: look, say no, report; and say yes with a passkey.

Rendered here, on the server; what runs in the browser is small modules of our own. A signed-in
session can look, deny and report. A yes is a passkey's signature over the request, each time.
"""
