#!/usr/bin/env bash
# Posts $FOLDER/check.md on a pull request: updates the comment that begins with the same mark, or adds a new one.
#
# The folder may come from the run of a fork, so nothing in it is trusted: the text is sent as data, the number is validated, and with
# $HEAD_SHA the pull request must be at that commit.
set -euo pipefail

[ -s "$FOLDER/check.md" ] || { echo "there is nothing to comment: no check.md"; exit 1; }
number=${PULL_REQUEST:-$(head -c 20 "$FOLDER/pull-request.txt" 2> /dev/null || true)}
[[ $number =~ ^[1-9][0-9]{0,9}$ ]] || { echo "there is no pull request to comment on"; exit 1; }
if [ -n "${HEAD_SHA:-}" ]; then
  head=$(gh api "repos/$GITHUB_REPOSITORY/pulls/$number" --jq .head.sha)
  [ "$head" = "$HEAD_SHA" ] || { echo "pull request $number is not at the commit that was checked"; exit 1; }
fi
mark=$(head -n 1 "$FOLDER/check.md")
[[ $mark =~ ^'<!-- archaudit check '[A-Za-z0-9_./]*' -->'$ ]] || { echo "check.md does not begin with the mark"; exit 1; }
body=$(mktemp)
python3 -c 'import json, sys; json.dump({"body": open(sys.argv[1], encoding="utf-8").read()[:65535]}, sys.stdout)' "$FOLDER/check.md" > "$body"
# Only a comment of the token's own user is updated: its author could change another one afterwards. Any token can name its user.
user=$(gh api graphql -f query='{viewer{login}}' --jq .data.viewer.login 2> /dev/null || true)
filter='.[] | [.id, .user.login, .user.type, (.body | split("\n")[0] | rtrimstr("\r"))] | @json'
comments=$(gh api --paginate "repos/$GITHUB_REPOSITORY/issues/$number/comments?per_page=100" --jq "$filter")
found=$(printf '%s\n' "$comments" | MARK="$mark" ACTOR="$user" python3 -c '
import json, os, sys
for line in filter(str.strip, sys.stdin):
    number, login, kind, first = json.loads(line)
    if first == os.environ["MARK"] and (login == os.environ["ACTOR"] if os.environ["ACTOR"] else kind == "Bot"):
        print(int(number))
        break
')
if [ -n "$found" ]; then
  gh api --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$found" --input "$body" > /dev/null
else
  gh api --method POST "repos/$GITHUB_REPOSITORY/issues/$number/comments" --input "$body" > /dev/null
fi
