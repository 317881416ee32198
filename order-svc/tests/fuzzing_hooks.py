"""A key names one request: each request that the fuzzer makes up gets a key of its own.

Without this a well-formed request is refused, rightly, because an earlier one had the document's example key. In the same
way a well-formed If-Match that names no state of any order becomes one that names all. What is malformed on purpose stays
as it is.
"""

import re
import uuid

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch(r'"[!#-\[\]-~]{1,128}"|[!#-~][!-~]{0,127}', key):
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    match = (case.headers or {}).get("If-Match", "")
    if match in (None, "null") or re.fullmatch(r'(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)', match):
        case.headers["If-Match"] = "*"
