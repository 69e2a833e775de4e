#!/bin/sh
# Holds the manual to the program: check-man.sh PRINT-TABLES SOURCE-DIRECTORY
#
# Every page is clean mdoc and is installed; every command, option, exit status, key of agent.yaml,
# config.yaml and a provider's file, provider, variable and limit of the tables is in its page, and what a page says there is in the tables.
set -eu
LC_ALL=C
export LC_ALL

print_tables=$1
man=$2/man
command -v mandoc >/dev/null || {
  echo "mandoc is not installed: skipped"
  exit 77
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$print_tables" >"$scratch/tables"

problems=0
problem() {
  echo "$1"
  problems=$((problems + 1))
}
# Two sorted lists that ought to be one: what each of them lacks.
compare() { # TABLE-LIST PAGE-LIST PAGE WHAT
  for missing in $(comm -23 "$1" "$2"); do problem "$3: $4 '$missing' is not described"; done
  for extra in $(comm -13 "$1" "$2"); do problem "$3: $4 '$extra' does not exist"; done
}
table() { # KIND [FIRST-FIELD]: the rest of the line, blanks as underscores
  awk -F '\t' -v kind="$1" -v first="${2-}" '
    $1 == kind && (first == "" || $2 == first || index($2, first " ") == 1) {
      from = first == "" ? 2 : 3
      line = $from
      for (i = from + 1; i <= NF; i++) line = line "/" $i
      gsub(/ /, "_", line)
      print line
    }' "$scratch/tables" | sort -u
}
# The lines between a section's heading and the next one's.
section() { # PAGE SECTION
  awk -v wanted=".Sh $2" '/^\.Sh / { inside = $0 == wanted; next } inside' "$1"
}

# Pages: clean, and installed.
for page in "$man"/*.[0-9]; do
  mandoc -T lint -W warning "$page" >"$scratch/lint" || {
    cat "$scratch/lint"
    problem "$(basename "$page"): mandoc -T lint is not silent"
  }
  grep -q "'$(basename "$page")'" "$man/meson.build" ||
    problem "$(basename "$page"): man/meson.build does not install it"
done
# References between pages of ours lead somewhere.
grep -ho '^\.Xr \(moat[a-z-]*\|agent\.yaml\) [0-9]' "$man"/*.[0-9] | sort -u |
  while read -r _ name number; do
    test -f "$man/$name.$number" || echo "$name($number) is referred to and does not exist"
  done >"$scratch/references"
while read -r line; do problem "$line"; done <"$scratch/references"

# Commands: a page each, an entry each in moat.1 with the summary of the table. One of two words is
# in the synopsis of the first word's page.
table command | sed 's,/.*,,' | grep -v _ >"$scratch/commands"
table command | sed -n 's,/.*,,; s/_/ /p' | while read -r first second; do
  grep -q "^\.Nm moat $first Cm $second\$" "$man/moat-$first.1" ||
    echo "moat-$first.1: the synopsis lacks '$second'"
done >"$scratch/subcommands"
while read -r line; do problem "$line"; done <"$scratch/subcommands"
section "$man/moat.1" DESCRIPTION | sed -n 's/^\.It Ic //p' | sort >"$scratch/described"
compare "$scratch/commands" "$scratch/described" moat.1 command
for page in "$man"/moat-*.1; do basename "$page" .1 | sed 's/^moat-//'; done |
  sort >"$scratch/pages"
compare "$scratch/commands" "$scratch/pages" man command
while read -r name; do
  summary=$(awk -F '\t' -v name="$name" '$1 == "command" && $2 == name { print $3 }' \
    "$scratch/tables")
  # Bold is a letter, a backspace and the letter again.
  said=$(mandoc -T ascii "$man/moat.1" | sed "s/.$(printf '\b')//g" | tr -s ' \n' ' ')
  case $said in
  *" $name"*"$summary. See moat-$name(1)."*) ;;
  *) problem "moat.1: '$name' is not summed up as '$summary.'" ;;
  esac
done <"$scratch/commands"

# Options: letter/name of each, in the list and in the synopsis.
while read -r name; do
  page=$man/moat-$name.1
  test -f "$page" || continue
  { table option "$name"; echo h/help; } | sort -u >"$scratch/options"
  grep '^\.It Fl' "$page" | awk '{
      letter = "-"; long = ""
      for (i = 2; i <= NF; i++)
        if ($i == "Fl" && $(i + 1) ~ /^-./) long = substr($(i + 1), 2)
        else if ($i == "Fl") letter = $(i + 1)
      print letter "/" long
    }' | sort -u >"$scratch/described"
  compare "$scratch/options" "$scratch/described" "moat-$name.1" option
  section "$page" SYNOPSIS >"$scratch/synopsis"
  for option in $(table option "$name"); do
    letter=${option%%/*}
    if test "$letter" = -; then pattern="Fl -${option#*/}\( \|$\)"; else pattern="Fl [a-zA-Z]*$letter"; fi
    grep -q -- "$pattern" "$scratch/synopsis" ||
      problem "moat-$name.1: option '$option' is not in the synopsis"
  done
  # Exit statuses: what every command has, and what these two have besides.
  wanted='0 1 2'
  test "$name" = audit && wanted='0 1 2 3'
  test "$name" = run && wanted='2 124 125 126 127'
  test "$name" = grant && wanted='0 1 2 130'
  for number in $wanted; do echo "$number"; done | sort >"$scratch/statuses"
  section "$page" 'EXIT STATUS' | sed -n 's/^\.It \([0-9]*\)$/\1/p' | sort >"$scratch/described"
  compare "$scratch/statuses" "$scratch/described" "moat-$name.1" 'exit status'
  test -n "$(section "$page" EXAMPLES)" || problem "moat-$name.1: there are no examples"
done <"$scratch/commands"

# Keys of agent.yaml.
table key >"$scratch/keys"
section "$man/agent.yaml.5" DESCRIPTION | sed -n 's/^\.It Ic //p' | sort -u >"$scratch/described"
compare "$scratch/keys" "$scratch/described" agent.yaml.5 key

# Those of config.yaml.
table userkey >"$scratch/keys"
section "$man/moat-config.5" DESCRIPTION | sed -n 's/^\.It Ic //p' | sort -u >"$scratch/described"
compare "$scratch/keys" "$scratch/described" moat-config.5 key

# Those of a provider's file; and the providers.
table providerkey >"$scratch/keys"
section "$man/moat-provider.5" DESCRIPTION | sed -n 's/^\.It Ic //p' | sort -u >"$scratch/described"
compare "$scratch/keys" "$scratch/described" moat-provider.5 key
table provider >"$scratch/keys"
section "$man/moat-grant.1" DESCRIPTION |
  awk '/^\.Ss / { inside = $2 == "Providers" } inside && sub(/^\.It Cm /, "")' | sort -u >"$scratch/described"
compare "$scratch/keys" "$scratch/described" moat-grant.1 provider

# Variables and hosts, each in its page.
awk -F '\t' '$1 == "variable" || $1 == "host" { print $2, $3 }' "$scratch/tables" |
  while read -r page word; do
    grep -q -F -w -- "$word" "$man/$page" || echo "$page: '$word' is not there"
  done >"$scratch/words"
while read -r line; do problem "$line"; done <"$scratch/words"

# Limits: the rows of moat.7's table.
table limit >"$scratch/limits"
section "$man/moat.7" DESCRIPTION | awk '/^\.Ss / { inside = $2 == "Limits" }
    inside && /^\.It / && !/^\.It Em/ { sub(/^\.It /, ""); gsub(/\\&/, ""); split($0, cell, / Ta /)
      gsub(/ /, "_", cell[1]); gsub(/ /, "_", cell[2]); print cell[1] "/" cell[2] }' |
  sort -u >"$scratch/described"
compare "$scratch/limits" "$scratch/described" moat.7 limit

test "$problems" -eq 0 || {
  echo "$problems places where the manual and the program differ"
  exit 1
}
echo "the manual and the program agree"
