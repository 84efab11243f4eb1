"""Unrolls a forward graph into a training step, from docs/methods/baechi-place.md alone: a second opinion on --step training.

unroll(graph, step) returns the graph of the step in the layout of a graph file. Beyond that layout, operators have "forward" (the name of
the operator they stem from) and "copies" (how often their parameters are held), and edges that carry a gradient have "sum": what it is
added to.
"""
import math

DENSE = ["conv", "matmul", "gemm", "linear", "dense", "addmm", "bmm", "einsum", "lstm", "gru", "rnn", "attention"]
STATES = {"none": 0, "sgd": 0, "momentum": 1, "adam": 2}
TRAFFIC = {"sgd": 3, "momentum": 5, "adam": 7}  # parameters read and written, gradient read, states read and written


def saved(t, ops):
    port = t["name"][len(t["src"]) + 1:]
    flags = ops[t["src"]].get("saved")
    return t["name"][0] != "^" and (flags is None or not port.isdigit() or bool(flags[int(port)]))


def unroll(graph, step):
    k, launch, optimizer = step["microbatches"], step["launch_us"], step["optimizer"]
    ops = {op["name"]: op for op in graph["ops"]}
    inside = graph["meta"].get("persistent_memory") == "in-outputs"
    uses, seen = {name: [] for name in ops}, set()  # of each consumer: tensors by producer, as their edges came first
    position = {name: i for i, name in enumerate(ops)}
    pairs = {}
    for edge in graph["edges"]:
        tensor = {"src": edge["src"], "name": edge.get("tensor", edge["src"] + ":0"), "bytes": math.ceil(edge["bytes"]), "us": edge.get("us")}
        pair = pairs.setdefault((edge["src"], edge["dst"]), [])
        if (edge["src"], edge["dst"], tensor["name"]) not in seen:
            seen.add((edge["src"], edge["dst"], tensor["name"]))
            pair.append(tensor)
    ordered = sorted(pairs, key=lambda pair: position[pair[0]])
    for src, dst in ordered:
        uses[dst] += pairs[src, dst]
    control = lambda t: t["name"][0] == "^"  # noqa: E731

    # Operators after their producers.
    left, order = {name: len({t["src"] for t in uses[name]}) for name in ops}, []
    todo = [name for name in ops if not left[name]]
    while todo:
        order.append(todo.pop())
        for src, dst in ordered:
            if src == order[-1]:
                left[dst] -= 1
                if not left[dst]:
                    todo.append(dst)
    variable, once, backward = {}, {}, {}
    no_parameters = not any(op.get("perm", 0) for op in ops.values())
    for name in order:
        op = ops[name]
        perm = op.get("perm", 0)
        variable[name] = not uses[name] and perm > 0 and (inside or sum(op.get("out", [])) == perm)
        once[name] = all(once[t["src"]] for t in uses[name]) if uses[name] else variable[name]
        backward[name] = (no_parameters or perm > 0 or op.get("bwd_us", 0) > 0
                          or any(backward[t["src"]] for t in uses[name] if not control(t)))

    part = lambda name, us: us if once[name] or us <= launch else launch + (us - launch) / k  # noqa: E731
    size = lambda name, n: n if once[name] else -(-n // k)  # noqa: E731
    runs = lambda name: range(1 if once[name] else k)  # noqa: E731
    call = lambda name, m: name if m == 0 or once[name] else f"{name} #{m + 1}"  # noqa: E731
    back = lambda name, m: call(name, m) + " backward"  # noqa: E731
    own_gradient = lambda name: ops[name].get("perm", 0) > 0 and not variable[name]  # noqa: E731
    inputs = lambda name: [t for t in uses[name] if not control(t) and backward[t["src"]]]  # noqa: E731
    new, edges = [], []

    # Recomputation: a tensor that only operators of its producer's segment read is inside, and dropped.
    segment = {name: s for s, names in enumerate(step.get("recompute", [])) for name in names if backward[name] and not once[name]}
    readers = {}
    for dst in ops:
        for t in uses[dst]:
            if not control(t):
                readers.setdefault((t["src"], t["name"]), []).append(dst)
    leaving = lambda src, dst: segment.get(src) != segment.get(dst)  # noqa: E731
    sending = {segment[src] for (src, _), list in readers.items() for dst in list if src in segment and leaving(src, dst)}
    segment = {name: s for name, s in segment.items() if s in sending}
    inside = lambda t: not control(t) and t["src"] in segment and not any(leaving(t["src"], dst) for dst in readers.get((t["src"], t["name"]), []))  # noqa: E731
    again = {}
    for name in reversed(order):
        mine = [t for pair in ordered if pair[0] == name for t in pairs[pair]]
        unread = [port for port in range(len(ops[name].get("out", []))) if (name, f"{name}:{port}") not in readers]
        again[name] = name in segment and (any(ops[name].get("saved", [1] * len(ops[name].get("out", [])))[port] for port in unread) or any(
            inside(t) and (saved(t, ops) or any(again.get(dst) for dst in readers[name, t["name"]])) for t in mine if not control(t)))
    starts = lambda name: again[name] and not any(inside(t) for t in uses[name])  # noqa: E731

    def carry(src, dst, name, bytes, us=None, sum=None):
        edges.append({"src": src, "dst": dst, "tensor": name, "bytes": bytes} | ({} if us is None else {"us": us})
                     | ({} if sum is None else {"sum": sum}))

    def carry_forward(t, m, dst):
        src = call(t["src"], m)
        port = t["name"][len(t["src"]):]
        if control(t):
            return carry(src, dst, "^" + src, t["bytes"], t["us"])
        is_port = t["name"].startswith(t["src"] + ":") and port[1:].isdigit() and int(port[1:]) < len(ops[t["src"]].get("out", []))
        name = src + port if is_port else t["name"] if src == t["src"] else f"{t['name']} #{m + 1}"
        carry(src, dst, name, size(t["src"], t["bytes"]), stated(t))

    stated = lambda t: t["us"] if t["us"] is None or once[t["src"]] else t["us"] / k  # noqa: E731

    def carry_restored(t, m, dst):  # what was kept, or computed again
        if not inside(t):
            return carry_forward(t, m, dst)
        carry(call(t["src"], m) + " recompute", dst, call(t["src"], m) + " recompute" + t["name"][len(t["src"]):], size(t["src"], t["bytes"]), stated(t))

    for m in range(k):
        for name in ops:
            if m in runs(name):
                op = ops[name]
                new.append({"name": call(name, m), "forward": name, "us": part(name, op["us"]), "perm": op.get("perm", 0) if m == 0 else 0,
                            "copies": 1 + STATES[optimizer], "temp": size(name, op.get("temp", 0)), "out": [size(name, n) for n in op.get("out", [])]})
    for m in range(k):
        for name in ops:
            if backward[name] and m in runs(name):
                op = ops[name]
                ratio = step.get("backward_ratio", 2 if any(word in op.get("op", "").lower() for word in DENSE) else 1)
                out = [size(t["src"], t["bytes"]) for t in inputs(name)]
                temp = size(name, op.get("temp", 0))
                if own_gradient(name):
                    out, temp = (out + [op["perm"]], temp) if m == 0 else (out, temp + op["perm"])
                new.append({"name": back(name, m), "forward": name, "us": part(name, op.get("bwd_us", op["us"] * ratio)), "temp": temp, "out": out})
    for m in range(k):
        for name in ops:
            if again[name]:
                copy = next(op for op in new if op["name"] == call(name, m))
                new.append({"name": call(name, m) + " recompute", "forward": name, "us": copy["us"], "temp": copy["temp"], "out": copy["out"]})
    updated = [name for name in ops if ops[name].get("perm", 0) and optimizer != "none"]
    for name in updated:
        us = TRAFFIC[optimizer] * ops[name]["perm"] / (step["bandwidth_gb_per_s"] * 1000)
        if "update_us" in ops[name]:  # of SGD
            us = ops[name]["update_us"] * TRAFFIC[optimizer] / TRAFFIC["sgd"]
        new.append({"name": name + " update", "forward": name, "us": us})

    for m in range(k):
        for src, dst in ordered:
            if m in runs(dst):
                for t in pairs[src, dst]:
                    carry_forward(t, m, call(dst, m))
    for m in range(k):
        for name in ops:
            if not backward[name] or m not in runs(name):
                continue
            carry(call(name, m), back(name, m), "^" + call(name, m) + " done", 0)
            mine = [t for pair in ordered if pair[0] == name for t in pairs[pair]]
            for t in mine:
                if saved(t, ops):
                    carry_restored(t, m, back(name, m))
            for port, bytes in enumerate(ops[name].get("out", [])):
                t = {"src": name, "name": f"{name}:{port}", "bytes": bytes, "us": None}
                if saved(t, ops) and t["name"] not in [other["name"] for other in mine]:
                    carry_restored(t, m, back(name, m))
            for t in uses[name]:
                if saved(t, ops):
                    carry_restored(t, m, back(name, m))
    for m in range(k):
        for name in ops:
            if again[name]:
                for t in uses[name]:
                    if not control(t):
                        carry_restored(t, m, call(name, m) + " recompute")
    for m in range(k):
        for name in ops:
            if backward[name] and m in runs(name):
                for port, t in enumerate(inputs(name)):
                    gradient = f"{back(name, m)}:{port}"
                    total = (t["src"], t["name"], 0 if once[t["src"]] else m)
                    carry(back(name, m), back(t["src"], m), gradient, size(t["src"], t["bytes"]), stated(t), total)
                    if variable[t["src"]] and t["src"] in updated:
                        carry(back(name, m), t["src"] + " update", gradient, size(t["src"], t["bytes"]), stated(t), total)
                    for first in step.get("recompute", [[]])[segment[t["src"]]] if t["src"] in segment and leaving(t["src"], name) else []:
                        if starts(first):
                            carry(back(name, m), call(first, m) + " recompute", gradient, size(t["src"], t["bytes"]), stated(t), total)
    for name in ops:
        if ops[name].get("perm", 0):
            first = back(name, 0)
            gradient = f"{first}:{len(inputs(name))}"
            for m in list(runs(name))[1:]:
                carry(first, back(name, m), gradient, ops[name]["perm"])
                if name in updated:
                    carry(back(name, m), name + " update", "^" + back(name, m) + " done", 0)
            if name in updated and own_gradient(name):
                carry(first, name + " update", gradient, ops[name]["perm"])
            elif name in updated:
                carry(first, name + " update", "^" + first + " done", 0)
    return {"meta": graph["meta"], "ops": new, "edges": edges}
