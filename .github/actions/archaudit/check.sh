#!/usr/bin/env bash
# Runs `archaudit check`, writes every output into a folder and appends the summary to the step summary. A later step exits with the status,
# so that the outputs are uploaded first; without a status (a crash, a missing command) that step exits with 2.
set -uo pipefail

folder=$(mktemp -d "${RUNNER_TEMP:-/tmp}/archaudit-XXXXXX")
arguments=(check -o "$folder")
for format in markdown summary annotations junit openmetrics sarif badge csv json; do arguments+=(--format "$format"); done
[ -z "${CONFIG:-}" ] || arguments+=(--config "$CONFIG")
[ -z "${BASELINE_REV:-}" ] || arguments+=("--baseline-rev=$BASELINE_REV")
[ "${ALLOW_INCONCLUSIVE:-false}" != true ] || arguments+=(--allow-inconclusive)
read -ra models <<< "${MODELS:-}"
status=0
archaudit "${arguments[@]}" -- ${models[@]+"${models[@]}"} || status=$?
# any other status means that the run crashed
case $status in 0 | 1 | 2) ;; *) status=2 ;; esac
# success needs the output that proves it
[ "$status" != 0 ] || [ -s "$folder/check.json" ] || status=2
[ -z "${PULL_REQUEST:-}" ] || printf '%s\n' "$PULL_REQUEST" > "$folder/pull-request.txt"
[ ! -s "$folder/summary.md" ] || cat "$folder/summary.md" >> "${GITHUB_STEP_SUMMARY:-/dev/null}"
printf 'status=%s\nfolder=%s\n' "$status" "$folder" >> "${GITHUB_OUTPUT:-/dev/null}"
