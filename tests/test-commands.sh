#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the tests and the scripts of the build call is there where the packages
# are built: in a package that Debian's build machines always have, or in
# Build-Depends.  A test looks for the latter (requires, type), as not everybody
# has them; and what tests look for is in Build-Depends, so that no test that
# runs at a developer's is left out of the packages' build.
. "${0%/*}/functions.sh"
control=$srcdir/debian/control
reader=$srcdir/tests/lib/commands.awk

# ---- what has which program --------------------------------------------------
# Packages that need not be named, essential or in build-essential:
cat > always << 'END_OF_LIST'
bash: bash
binutils: nm objdump
bsdutils: script
coreutils: basename cat chmod chown cksum comm cp cut date dd dirname env head id join ln ls
coreutils: mkdir mkfifo mktemp mv nproc od rm rmdir seq shuf sleep sort readlink stat tail tee test
coreutils: timeout touch tr true truncate uname uniq wc yes
dash: sh
diffutils: cmp diff
dpkg-dev: dpkg-checkbuilddeps
dpkg: dpkg
findutils: find xargs
g++: g++
gcc: cc gcc
grep: grep
gzip: gzip
hostname: hostname
libc-bin: ldd
make: make
mawk: awk
perl-base: perl
sed: sed
tar: tar
util-linux: mount umount
END_OF_LIST
# Others:
cat > others << 'END_OF_LIST'
autoconf: autoreconf
busybox: busybox
gcc-aarch64-linux-gnu: aarch64-linux-gnu-gcc
gcc-arm-none-eabi: arm-none-eabi-gcc
gcc-riscv64-unknown-elf: riscv64-unknown-elf-gcc
groff: groff
man-db: man
openmpi-bin: mpirun
pkg-config: pkg-config
python3: python3
qemu-system-arm: qemu-system-arm
qemu-system-misc: qemu-system-riscv32 qemu-system-riscv64
qemu-user: qemu-aarch64
rpm: rpmspec
END_OF_LIST
# What tests do without in the packages' build, and why:
cat > without << 'END_OF_LIST'
apt-get  only on Debian, in bootstrap
abidiff  only a clone with tags has something to compare with
clang  a second opinion of what gcc has compiled
chromium  a browser for one look at a page that is read as text besides
git  only a clone has something to ask it
node  onnxruntime is no package of Debian
sudo  only who is not root, in bootstrap
END_OF_LIST

in_build_depends () { # PACKAGE
  sed -n '/^Build-Depends:/,/^[A-Z][A-Za-z-]*: [^:]*$/p' "$control" | grep -qE "^ $1[ ,(]"
}
while IFS=': ' read -r package _; do
  in_build_depends "$package" || failed "$package is not in Build-Depends of debian/control"
done < others
in_build_depends no-such-package && failed "everything is in Build-Depends"
programs () { sed 's/^[^:]*: //' "$@" | tr ' ' '\n' | sort -u; }
programs always > always-there
programs others > installed
sed 's/  .*//' without | sort -u > exceptions

# ---- that reading scripts finds what stands in them --------------------------
cat > sample << 'END_OF_SAMPLE'
# no comment
helper () { ! first "second $(third | fourth)" 'fifth'; }
for x in sixth; do X=1 seventh > eighth 2>&1 & done
case $x in ninth | tenth) eleventh ;; *) ;; esac
list=(twelfth) y=$((z | 3)) w=${a:-$(thirteenth)}
timeout 5 fourteenth << 'END'
fifteenth
END
find . -exec sixteenth {} +
requires seventeenth
END_OF_SAMPLE
cat > expected << 'END_OF_LIST'
2 defines helper
2 calls third
2 calls fourth
2 calls first
3 calls seventh
4 calls eleventh
5 calls thirteenth
6 calls timeout
6 calls fourteenth
9 calls find
9 calls sixteenth
10 calls requires
10 looks seventeenth
END_OF_LIST
# "first" is found when its arguments have been read
awk -f "$reader" sample | cut -d ' ' -f 2- | sort > found
sort expected | diff - found || failed "the sample is not read as it is"

# ---- what is called ----------------------------------------------------------
cd "$srcdir" || exit 99
awk -f "$reader" tests/*.sh tests/csource/*.sh tests/arm/*.sh bootstrap .ci/run \
  build-aux/{check-format,embed,kind-man,list-components,new-plugin,plugin-man} > "$tmp/used"
cd "$tmp" || exit 99
[ "$(grep -c ' calls ' used)" -ge 1000 ] || failed "only $(wc -l < used) lines found"
{ compgen -b; compgen -k; sed -n 's/.* defines //p' used; } | sort -u > known

# lines WHAT: NAME FILE LINE of the names that the shell knows not, but for files
# and variables
lines () {
  sed -n "s/^\([^ ]*\) \([0-9]*\) $1 \([a-z][a-z0-9_.+-]*\)\$/\3 \1 \2/p" used | sort | join -v 1 - known
}
lines calls | join -v 1 - always-there | while read -r name file line; do
  if ! grep -qx "$name" installed exceptions -h; then
    echo "$file:$line: calls $name, of no package in the lists of $0"
  elif ! grep -q "^$file [0-9]* looks $name\$" used; then
    case $file in tests/*) echo "$file:$line: calls $name without 'requires $name'" ;; esac
  fi
done > wrong
lines looks | join -v 1 - always-there | join -v 1 - installed | join -v 1 - exceptions \
  | while read -r name file line; do
    echo "$file:$line: looks for $name, of no package in the lists of $0"
  done >> wrong
[ ! -s wrong ] || { cat wrong; failed "see above"; }
exit 0
