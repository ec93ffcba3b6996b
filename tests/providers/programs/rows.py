"""data: writes as many rows as it is asked for."""

import json
import sys

request = json.load(sys.stdin)
print("drawing rows", file=sys.stderr)
rows = [f"{n},{n % 7},{int(n % 7 > 3)}" for n in range(request["spec"]["params"]["rows"])]
with open(request["out"] + "/table.csv", "w") as file:
    file.write("\n".join(["id,x,label", *rows]) + "\n")
json.dump({"outputs": {"all": "table.csv"}, "facts": {"source": "drawn"}}, sys.stdout)
