"""Runs a placement from its graph file, devices and links alone: a second opinion on `baechi-place simulate`.

Shares no code with it. Per device, operators run in the order of the placement file. A tensor goes once to each other device that
reads it. Times are whole nanoseconds. A placement of a training step is for the graph that training_step.py makes of the forward
graph. simulate(...) returns the makespan and the peak memory of every device; with `copies` (of parameters, their gradient and the
optimiser's states together) that of a graph that is trained as it is, which keeps to the end what it saves for the backward pass, copies too.

Parameters on the host: each device's link carries its fetches in the order of the file, one at a time, each when the operator it comes
after has ended. A gradient goes to the host when its update has all inputs, then the host makes the update; both one at a time, in the
order in which they could begin.
"""
import collections
import json
import math

import training_step


def simulate(graph_file, placement_file, mode="parallel", us_per_byte=0.0001754, latency_us=134, rounding=512,
             host_us_per_byte=0.0000877, host_latency_us=67, host_bandwidth=25, copies=None):
    graph, placement = json.load(open(graph_file)), json.load(open(placement_file))
    devices = list(placement["order"])
    home = placement["assign"]
    if "step" in placement:
        graph = training_step.unroll(graph, placement["step"])
        home = {op["name"]: home[op["forward"]] for op in graph["ops"]}
    ns = lambda us: int(round(us * 1000))  # noqa: E731
    ops = {op["name"]: op for op in graph["ops"]}
    work = {name: ns(op["us"]) for name, op in ops.items()}
    inputs, readers, cost, size, added = collections.defaultdict(set), collections.defaultdict(list), {}, {}, {}
    for edge in graph["edges"]:
        tensor = (edge["src"], edge.get("tensor", edge["src"] + ":0"))
        inputs[edge["dst"]].add(tensor)
        readers[edge["src"]].append((edge["dst"], tensor))
        size[tensor] = math.ceil(edge["bytes"])
        added[tensor] = edge.get("sum")
        cost[tensor] = ns(edge["us"]) if "us" in edge else ns(us_per_byte * size[tensor] + latency_us)

    # Topological position: first in, first out; readers in the order in which their edges came first.
    waiting = {name: len({t[0] for t in inputs[name]}) for name in ops}
    queue, topo = collections.deque(name for name in ops if not waiting[name]), {}
    consumers = {name: list(dict.fromkeys(dst for dst, _ in readers[name])) for name in ops}
    while queue:
        name = queue.popleft()
        topo[name] = len(topo)
        for dst in consumers[name]:
            waiting[dst] -= 1
            if not waiting[dst]:
                queue.append(dst)
    rank = {}  # of a transfer: producer, then the first edge that needs it, then the tensor on that edge
    for name in ops:
        for e, dst in enumerate(consumers[name]):
            for t, (_, tensor) in enumerate(pair for pair in readers[name] if pair[0] == dst):
                if home[dst] != home[name]:
                    rank.setdefault((tensor, home[dst]), (topo[name], e, t))

    offload = placement.get("offload", {"operators": [], "fetches": {}})
    on_host = {name for name in ops if name.endswith(" update") and ops[name].get("forward") in offload["operators"]}
    host_cost = lambda bytes: ns(host_us_per_byte * bytes + host_latency_us)  # noqa: E731
    fetches = {d: collections.deque(offload["fetches"].get(d, [])) for d in devices}
    for d in devices:
        for f in fetches[d]:
            for reader in f["readers"]:
                inputs[reader].add((f["operator"], "parameters for " + reader))
    fetching, fetched, kept = {}, [], {}  # of each device; (device, begin, fetch); until when a gradient stays
    queued, writing, arrived, updating = {d: [] for d in devices}, {}, [], None

    here, left = set(), {d: collections.deque(placement["order"][d]) for d in devices}
    running, moving, pending, channel = {}, {}, [], set()
    start, end, sent = {}, {}, {}
    now = 0
    while True:
        for d in devices:
            head = left[d][0] if left[d] else None
            if head is not None and d not in running and all((t, d) in here for t in inputs[head]):
                start[head], running[d] = now, (left[d].popleft(), now + work[head])
        for move in sorted(pending, key=rank.get):
            tensor, dst = move
            src = home[tensor[0]]
            ends = {"parallel": set(), "duplex": {(src, "out"), (dst, "in")}, "half": {src, dst}}[mode]
            if not ends & channel:
                pending.remove(move)
                channel |= ends
                moving[move] = (now, now + cost[tensor], ends)
        for name in on_host - set(kept):
            if all((t, home[name]) in here for t in inputs[name]):
                queued[home[name]].append((now, topo[name], name))
                kept[name] = None
        for d in devices:
            if fetches[d] and d not in fetching and fetches[d][0].get("after") in [None, *end]:
                fetching[d] = now + host_cost(ops[fetches[d][0]["operator"]]["perm"])
                fetched.append((d, now, fetches[d].popleft()))
            if queued[d] and d not in writing:
                queued[d].sort()
                name = queued[d].pop(0)[2]
                writing[d] = (name, now + host_cost(ops[ops[name]["forward"]]["perm"]))
        if arrived and not updating:
            arrived.sort()
            name = arrived.pop(0)[2]
            updating = (name, now + ns(training_step.TRAFFIC[placement["step"]["optimizer"]] * ops[ops[name]["forward"]]["perm"]
                                          / (host_bandwidth * 1000)))
        times = [t for _, t in running.values()] + [m[1] for m in moving.values()] + list(fetching.values())
        times += [t for _, t in writing.values()] + ([updating[1]] if updating else [])
        if not times:
            break
        now = min(times)
        for d, (name, t) in list(running.items()):
            if t == now:
                del running[d]
                end[name] = now
                for dst, tensor in readers[name]:
                    here.add((tensor, d))
                    if home[dst] != d and (tensor, home[dst]) not in pending:
                        pending.append((tensor, home[dst]))
        if updating and updating[1] == now:
            end[updating[0]], updating = now, None
        for d in devices:
            if fetching.get(d) == now:
                del fetching[d]
                last = next(f for device, _, f in reversed(fetched) if device == d)
                here |= {((last["operator"], "parameters for " + reader), d) for reader in last["readers"]}
            if d in writing and writing[d][1] == now:
                kept[writing[d][0]] = now
                arrived.append((now, topo[writing[d][0]], writing.pop(d)[0]))
        for move, (begin, t, ends) in list(moving.items()):
            if t == now:
                del moving[move]
                channel -= ends
                sent[move] = (begin, t)
                here.add(move)
    assert len(end) == len(ops), "the order waits for itself"

    up = lambda n: -(-n // rounding) * rounding  # noqa: E731
    base, spans = collections.Counter(), collections.defaultdict(list)
    sums = collections.defaultdict(list)  # of gradients, where they are read: (begin, end, last reader's end, bytes) of each
    until = lambda name: kept.get(name, end[name])  # noqa: E731
    read = {}  # until when the outputs of an operator are needed where they are made
    for name, op in ops.items():
        if name in on_host:
            continue
        d, perm = home[name], op.get("perm", 0)
        base[d] += 0 if name in offload["operators"] else up(perm) * (copies or op.get("copies", 1))
        spans[d].append((start[name], end[name], up(op.get("temp", 0))))
        shared = perm if graph["meta"].get("persistent_memory") == "in-outputs" else 0
        outputs = [(f"{name}:{k}", bytes) for k, bytes in enumerate(op.get("out", []))]
        known = {tensor for tensor, _ in outputs}
        saved = {f"{name}:{k}": keeps for k, keeps in enumerate(op.get("saved", []))}
        outputs += [(t, size[name, t]) for t in dict.fromkeys(t for _, (_, t) in readers[name]) if t not in known and t[0] != "^"]
        for tensor, bytes in outputs:
            last = collections.defaultdict(int, {d: end[name]})
            stays = copies and saved.get(tensor, True)
            for dst, (_, t) in readers[name]:
                if t == tensor:
                    last[home[dst]] = max(last[home[dst]], until(dst))
            for other in [o for o in last if o != d]:
                begin, done = sent[(name, tensor), other]
                last[d] = max(last[d], done)
                if added.get((name, tensor)) is None:
                    spans[other].append((begin, math.inf if stays else max(done, last[other]), up(bytes)))
                else:
                    sums[other, added[name, tensor]].append((begin, done, last[other], up(bytes)))
            read[name] = max(read.get(name, 0), last[d])
            taken = min(shared, bytes)
            shared -= taken
            if stays:
                spans[d].append((start[name], math.inf, up(bytes - taken)))
            elif added.get((name, tensor)) is None or len(last) > 1:
                spans[d].append((start[name], last[d], up(bytes - taken)))
            else:
                sums[d, added[name, tensor]].append((start[name], end[name], last[d], up(bytes)))
    inside = graph["meta"].get("persistent_memory") == "in-outputs"
    for d, begin, f in fetched:
        uses = [end[reader] for reader in f["readers"]] + [read.get(f["operator"], 0)] * (inside and f["operator"] in f["readers"])
        spans[d].append((begin, max(uses), up(ops[f["operator"]]["perm"])))
    for (d, _), parts in sums.items():  # the first gradient there is held until all are read, the others until they are added to it
        parts.sort()
        spans[d].append((parts[0][0], max([parts[0][1]] + [part[2] for part in parts]), parts[0][3]))
        spans[d] += [(begin, until, bytes) for begin, until, _, bytes in parts[1:]]
    peak = {}
    for d in devices:
        changes = []
        for begin, until, bytes in spans[d]:
            changes += [(begin, 1, bytes), (until, 2 if until == begin else 0, -bytes)]
        level = peak[d] = base[d]
        for _, _, change in sorted(changes):
            level += change
            peak[d] = max(peak[d], level)
    return max(end.values()), peak
