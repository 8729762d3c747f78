"""A second reader of audit logs, written from the C2SP texts alone: it imports nothing of serve.

It is the test's witness that other people's tools can verify what serve writes. Each module says
which text it follows; of libraries there are hashlib, base64 and cryptography's Ed25519.
"""
