#!/bin/sh
# Installs unprompt: fetches the tarball for this machine, checks it, and puts the program under a prefix.
#
#     sh install.sh [--from URL|DIR] [--prefix DIR]
#
# --from is where the files of a release lie. --prefix is $HOME/.local where it is not given; the program goes into its bin,
# man pages and completions into its share. Nothing else is changed: to uninstall is to delete these files.
set -eu

# Set by release/make.
address=''
version=''

fail() {
  echo "install.sh: $*" >&2
  exit 1
}

# Within a function, so that a script that was cut off on its way does nothing.
main() {
  prefix=${HOME:+$HOME/.local}
  while [ $# -gt 0 ]; do
    [ $# -gt 1 ] || fail "$1: --from URL|DIR and --prefix DIR are known"
    case $1 in
      --from) address=$2 ;;
      --prefix) prefix=$2 ;;
      *) fail "$1: --from URL|DIR and --prefix DIR are known" ;;
    esac
    shift 2
  done
  [ -n "$address" ] || fail "say where the release is: --from URL|DIR"
  [ -n "$version" ] || fail "this is the template; release/make writes the one that knows its version"
  [ -n "$prefix" ] || fail "there is no HOME: say where to install by --prefix DIR"
  case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac

  name=unprompt-$version-$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  fetch "$name.tar.gz"
  fetch SHA256SUMS
  check "$name.tar.gz"
  tar -xzf "$work/$name.tar.gz" -C "$work"

  place unprompt "$prefix/bin/unprompt" 755
  for page in "$work/$name/man/man1"/*.1; do
    place "man/man1/${page##*/}" "$prefix/share/man/man1/${page##*/}" 644
  done
  place completions/unprompt.bash "$prefix/share/bash-completion/completions/unprompt" 644
  place completions/unprompt.zsh "$prefix/share/zsh/site-functions/_unprompt" 644
  place completions/unprompt.fish "$prefix/share/fish/vendor_completions.d/unprompt.fish" 644
  echo "unprompt $version is installed as $prefix/bin/unprompt"
  case :$PATH: in
    *:"$prefix/bin":*) ;;
    *) echo "put it on your path: export PATH=\"$prefix/bin:\$PATH\"" ;;
  esac
}

fetch() {
  case $address in
    http://* | https://*)
      if command -v curl >/dev/null 2>&1; then
        curl -fsSL --retry 3 -o "$work/$1" "$address/$1" || fail "$address/$1 cannot be fetched"
      elif command -v wget >/dev/null 2>&1; then
        wget -q -O "$work/$1" "$address/$1" || fail "$address/$1 cannot be fetched"
      else
        fail "curl or wget is needed"
      fi
      ;;
    *) cp "$address/$1" "$work/$1" 2>/dev/null || fail "$address/$1 is not there: there may be no release for this machine" ;;
  esac
}

# Nothing of the tarball is opened before its checksum is that of the release.
check() {
  expected=$(awk -v file="$1" '$2 == file { print $1 }' "$work/SHA256SUMS")
  [ -n "$expected" ] || fail "SHA256SUMS of the release does not have $1"
  if command -v sha256sum >/dev/null 2>&1; then
    found=$(sha256sum "$work/$1")
  else
    found=$(shasum -a 256 "$work/$1")
  fi
  [ "${found%% *}" = "$expected" ] || fail "$1 has another checksum than the release says; nothing was installed"
}

# What is there is replaced at once by a file that lies beside it, and a program only by one that runs.
place() {
  [ -e "$work/$name/$1" ] || return 0
  mkdir -p "${2%/*}"
  cp "$work/$name/$1" "$2.new"
  chmod "$3" "$2.new"
  if [ "$3" = 755 ] && ! "$2.new" --version >/dev/null 2>&1; then
    rm -f "$2.new"
    fail "the program does not run on this machine, which may be older than the release asks for; nothing was replaced"
  fi
  mv -f "$2.new" "$2"
}

main "$@"
