"""What stands between a request and the keeper, each step in a file of its own.

The order is binding; no step may be left out and none may move:

 1. head: its bytes and its time            (``http_protocol``)
 2. body: its bytes while they arrive, its time   (``http``)
 3. who asks: key, token or certificate     (``desk``)
 4. whether that organisation and this model are switched on   (``switching``)
 5. how fast: requests a minute             (``desk``, counters)
 6. parse into a closed schema              (``strict_json``, ``schema``)
 7. meaning: model, text, parameters        (``schema``, ``served_model``)
 8. count the tokens                        (``served_model``)
 9. reserve the most it may cost            (``spending``, ``passage``)
10. record the intent, durably              (``passage``)
11. forward a frame of our own              (``keeper_client``)
12. answer; when all but its last byte is sent, settle what it did cost
13. record the end, durably; then the last byte   (``passage``)

A refusal before step 10 is recorded by ``refusal_book``. After it, whatever happens (an answer, a
refusal by the keeper, the caller hanging up, the switch, a defect) ends in one final record.
"""
