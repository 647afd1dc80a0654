# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# boards.sh: processors in QEMU; sourced by tests, with $sources where this file
# lies.
#
#   $boards                         those that can be compiled for and run here
#   on_board BOARD FILE… [FLAG…]    compile and run, with what it prints in out
all_boards="Cortex-M3 Cortex-M4 Cortex-M7 Cortex-M33 Cortex-M55 RISC-V RISC-V-float RISC-V-64"

# Compiler, emulator, machine, where code and data lie, flags; for Cortex-M55
# constants in the memory that is large.
describe () {
  local arm="arm-none-eabi-gcc qemu-system-arm"
  local riscv="riscv64-unknown-elf-gcc qemu-system-riscv32 virt 0x80000000 0x80400000 --specs=picolibc.specs"
  case $1 in
    Cortex-M3) echo "$arm mps2-an385 0 0x20000000 -mthumb -mcpu=cortex-m3" ;;
    Cortex-M4) echo "$arm mps2-an386 0 0x20000000 -mthumb -mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16" ;;
    Cortex-M7) echo "$arm mps2-an500 0 0x20000000 -mthumb -mcpu=cortex-m7 -mfloat-abi=hard -mfpu=fpv5-sp-d16" ;;
    Cortex-M33) echo "$arm mps2-an505 0x10000000 0x38000000 -mthumb -mcpu=cortex-m33 -mfloat-abi=hard -mfpu=fpv5-sp-d16" ;;
    Cortex-M55) echo "$arm mps3-an547 0 0x21000000 -Wl,--defsym,CONSTANTS=0x60000000 -mthumb -mcpu=cortex-m55 -mfloat-abi=hard" ;;
    # vectors of integers alone, and none
    Cortex-M55-integer) echo "$arm mps3-an547 0 0x21000000 -Wl,--defsym,CONSTANTS=0x60000000 -mthumb -mcpu=cortex-m55+nomve.fp -mfloat-abi=hard" ;;
    Cortex-M55-plain) echo "$arm mps3-an547 0 0x21000000 -Wl,--defsym,CONSTANTS=0x60000000 -mthumb -mcpu=cortex-m55+nomve -mfloat-abi=hard" ;;
    RISC-V) echo "$riscv -march=rv32imac -mabi=ilp32" ;;
    RISC-V-float) echo "$riscv -march=rv32imafc -mabi=ilp32f" ;;
    RISC-V-64) echo "${riscv/32/64} -march=rv64imafdc -mabi=lp64d -mcmodel=medany" ;;
  esac
}

on_board () {
  local board=$1 compiler emulator machine code data flags start=start.c extra=
  shift
  read -r compiler emulator machine code data flags <<< "$(describe "$board")"
  case $board in
    RISC-V*) start=start-riscv.c extra="-bios none" ;;
  esac
  # shellcheck disable=SC2086
  "$compiler" $flags -O2 -DQATKIT_BOARD -I"$sources" -T "$sources/mps.ld" \
    -Wl,--defsym,CODE="$code",--defsym,DATA="$data" -nostartfiles \
    "$sources/$start" "$@" -o board.elf 2> err \
    || failed "cannot compile for $board"
  # shellcheck disable=SC2086
  timeout 300 "$emulator" -M "$machine" $extra -nographic -semihosting \
    -kernel ./board.elf > out.board 2> err < /dev/null \
    || failed "$board: it fails, or does not run: $(cat out.board)"
  # Cortex-M print where errors go
  cat out.board err > out
}

boards=
for board in $all_boards; do
  read -r compiler emulator _ <<< "$(describe "$board")"
  if type "$compiler" "$emulator" > /dev/null 2>&1; then
    boards="$boards $board"
  else
    echo "no $board: there is no $compiler or no $emulator"
  fi
done
