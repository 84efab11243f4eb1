#!/usr/bin/env bash
# page_test.sh EXAMPLE_PAGE CHECK_PAGE: the example page passes the browser check, and pages with one fault each do not.
set -euo pipefail
example_page=$1 check_page=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$example_page" "$folder/page.html"
"$check_page" "$folder/page.html" || exit $?   # 77: no browser

# must_fail NAME PATTERN SED: the page, edited by SED, is refused with a line that matches PATTERN.
must_fail() {
  sed "$3" "$folder/page.html" > "$folder/$1.html"
  if cmp -s "$folder/page.html" "$folder/$1.html"; then echo "$1: the edit changed nothing"; exit 1; fi
  if output=$("$check_page" --width 1280 "$folder/$1.html"); then echo "$1: passed"; exit 1; fi
  grep -q "$2" <<< "$output" || { echo "$1: refused for another reason: $output"; exit 1; }
}
must_fail exception 'console: .*broken on purpose' 's|</body>|<script>throw new Error("broken on purpose")</script></body>|'
must_fail blank 'blank chart' 's|document.querySelectorAll("canvas").forEach(draw)|void draw|'
must_fail sorting 'does not sort' 's|ascending ? compare(a.key, b.key)|!ascending ? compare(a.key, b.key)|'
must_fail request 'console: ' 's|</main>|<img src="https://example.org/x.png" alt=""></main>|'
must_fail wide 'pixels wider' 's|</main>|<div style="width:3000px">x</div></main>|'
echo "page_test: passed"
