"""What Perfetto's importer makes of a Chrome trace, by its rules (src/trace_processor/importers/json, slice_tracker, flow_tracker).

Fails where it would drop something: a slice that overlaps another one of its thread in part, an arrow that no slice encloses, a name that
another thread of the same number takes."""
import dataclasses
import json


@dataclasses.dataclass
class Imported:
    processes: list  # names
    slices: dict     # (process, thread) -> [(begin, end, name)], nanoseconds
    arrows: list     # ((process, thread), (process, thread))
    counters: list   # names of processes


def nanoseconds(value):
    """CoerceToTs: integers are multiplied, doubles multiplied and truncated."""
    assert isinstance(value, (int, float)) and value >= 0, value
    return value * 1000 if isinstance(value, int) else int(value * 1000.0)


def imported(text):
    events = json.loads(text)["traceEvents"]
    process_names, thread_names, process_of = {}, {}, {}
    for event in events:
        assert event["ph"] in "MXsfC" and event["pid"] > 0, event
        if "tid" in event:  # names are looked up by the thread's number alone, and 0 is the kernel's
            assert event["tid"] > 0 and process_of.setdefault(event["tid"], event["pid"]) == event["pid"], event
        if event["ph"] == "M":
            names, key = (process_names, event["pid"]) if event["name"] == "process_name" else (thread_names, event["tid"])
            assert event["args"]["name"] and key not in names, event
            names[key] = event["args"]["name"]
    assert len(set(process_names.values())) == len(process_names)
    row = {tid: (process_names[pid], thread_names[tid]) for tid, pid in process_of.items()}

    result = Imported(list(process_names.values()), {key: [] for key in row.values()}, [], [])
    open_slices, flows = {}, {}
    timed = [event for event in events if event["ph"] != "M"]
    for event in sorted(timed, key=lambda event: nanoseconds(event["ts"])):  # stable, as the importer's sorter
        ts = nanoseconds(event["ts"])
        if event["ph"] == "C":
            assert all(isinstance(value, (int, float)) for value in event["args"].values())
            result.counters.append(process_names[event["pid"]])
            continue
        stack = open_slices.setdefault(event["tid"], [])
        while stack and stack[-1] <= ts:
            stack.pop()
        if event["ph"] == "X":
            end = ts + nanoseconds(event["dur"])
            assert not stack or end <= stack[-1], ("overlaps", event)
            stack.append(end)
            result.slices[row[event["tid"]]].append((ts, end, event["name"]))
        else:
            assert stack, ("no slice encloses", event)
            assert event["ph"] == "s" or event["bp"] == "e"
            key = (event["id"], event["cat"], event["name"])
            if event["ph"] == "s":
                assert key not in flows, event
                flows[key] = row[event["tid"]]
            else:
                result.arrows.append((flows.pop(key), row[event["tid"]]))
    assert not flows, flows
    result.counters = sorted(set(result.counters))
    return result
