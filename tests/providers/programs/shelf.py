"""deployments: puts the artifact on a shelf, a folder named by ``to``; ``closed`` beside it is the halt, ``label`` the entry."""

import json
import os
import shutil
import sys

request = json.load(sys.stdin)
verb, spec = request["verb"], request["spec"]
shelf = spec["to"]
facts = {}
if verb == "apply":
    shutil.rmtree(shelf + "/current", ignore_errors=True)
    shutil.copytree(request["inputs"]["artifact"][0]["path"], shelf + "/current")
    with open(shelf + "/label", "w") as file:
        file.write(spec["label"])
    facts = {"endpoint": "shelf:" + shelf, "token": os.environ["SHELF_TOKEN"][:2], "halted": bool(spec["halted"])}
    print("using", os.environ["SHELF_TOKEN"], file=sys.stderr)
elif verb == "halt":
    with open(shelf + "/closed", "w") as file:
        file.write(spec["reason"])
elif verb == "resume":
    os.remove(shelf + "/closed")
elif verb == "remove":
    shutil.rmtree(shelf + "/current")
    os.remove(shelf + "/label")
elif verb == "probe":
    closed = os.path.exists(shelf + "/closed")
    state = "halted" if closed else "serving" if os.path.exists(shelf + "/current") else "down"
    facts = {"state": state}
    if os.path.exists(shelf + "/label"):
        with open(shelf + "/label") as file:
            facts["label"] = file.read()
    if closed:
        with open(shelf + "/closed") as file:
            facts["text"] = file.read()
json.dump({"facts": facts}, sys.stdout)
