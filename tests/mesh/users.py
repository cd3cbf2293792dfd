"""Users as nginx's workers stand for them: `users.py ADDRESS HOST REGION COUNT SECONDS PAUSE` in nginx's pod.

Each user asks, waits for the answer, pauses; every third request is a POST. One line of JSON for each request: when it
began, its method, the status (0: none), the region and pod that answered, and how
long it took, in seconds. With SECONDS 0 each asks once. REGION `-`: no header.
"""

import http.client
import json
import sys
import threading
import time

address, host, region = sys.argv[1:4]
count, seconds, pause = int(sys.argv[4]), float(sys.argv[5]), float(sys.argv[6])
headers = {"Host": host, **({"x-user-region": region} if region != "-" else {})}
begun = time.monotonic()
lock = threading.Lock()


def user(number: int) -> None:
    """One user's requests, each on a connection of its own, as its sidecar keeps the ones that matter."""
    asked = number
    while True:
        at, method = time.monotonic(), "POST" if asked % 3 == 0 else "GET"
        asked += 1
        connection = http.client.HTTPConnection(address, 9000, timeout=60)
        who = {"region": "", "pod": "", "asks": ""}
        try:
            connection.request(method, "/", body=b"1" if method == "POST" else None, headers=headers)
            answer = connection.getresponse()
            status, body = answer.status, answer.read()
            who.update(json.loads(body) if body.startswith(b"{") else {"pod": body.decode(errors="replace")[:80]})
        except (OSError, http.client.HTTPException) as error:
            status, who["pod"] = 0, repr(error)
        connection.close()
        took = time.monotonic() - at
        with lock:
            print(
                json.dumps(
                    [round(at - begun, 3), method, status, who["region"], who["pod"], round(took, 3), who["asks"]]
                )
            )
        if time.monotonic() - begun >= seconds:
            return
        time.sleep(pause)


threads = [threading.Thread(target=user, args=(number,)) for number in range(count)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
