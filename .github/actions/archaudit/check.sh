#!/usr/bin/env bash
# Runs `archaudit check` with every output into a folder, and appends the summary to the step's. The status goes to a later step, so that
# what explains it is kept first; without one (a crash, a missing command) that step ends with 2.
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
# anything but the three that are meant is a run that told nothing
case $status in 0 | 1 | 2) ;; *) status=2 ;; esac
# green without what says so is not green
[ "$status" != 0 ] || [ -s "$folder/check.json" ] || status=2
[ -z "${PULL_REQUEST:-}" ] || printf '%s\n' "$PULL_REQUEST" > "$folder/pull-request.txt"
[ ! -s "$folder/summary.md" ] || cat "$folder/summary.md" >> "${GITHUB_STEP_SUMMARY:-/dev/null}"
printf 'status=%s\nfolder=%s\n' "$status" "$folder" >> "${GITHUB_OUTPUT:-/dev/null}"
