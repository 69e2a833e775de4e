// TerminalModes: what a program has changed about the terminal that it writes to, and how that is
// undone. Programs undo it themselves, unless they are killed. Pure: no terminal. The sequences are
// those of ECMA-48, of xterm's ctlseqs, and of kitty's keyboard protocol.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace moat {

class TerminalModes {
 public:
  // Bytes as the program writes them, cut anywhere. True: undo() is another one now.
  bool feed(std::string_view bytes);
  // What a terminal is to be sent after them; "" where nothing is left to undo. A few hundred bytes
  // at most.
  [[nodiscard]] std::string undo() const;

 private:
  enum class State { ground, escape, designate, sequence, string, string_escape };
  static constexpr size_t max_sequence = 64;  // longer ones are none of those that count
  static constexpr size_t screens = 2;        // kitty keeps keyboard modes for each

  void control(char byte);
  void escape(char byte);
  void end_sequence(char final);
  void set_private_modes(std::string_view numbers, bool on);
  void kitty_keyboard(char prefix, std::string_view numbers);
  void reset();

  State state_ = State::ground;
  char designated_ = 0;  // the set that is being chosen: '(' is G0
  std::string sequence_;
  bool overlong_ = false;

  uint32_t changed_ = 0;                      // bits, by the place in the table of private modes
  std::array<unsigned, screens> keyboard_{};  // how many were pushed, or set
  bool alternate_ = false;                    // which of the screens
  bool keypad_ = false;
  bool other_keys_ = false;
  bool attributes_ = false;  // colours and the like
  bool region_ = false;
  bool graphics_ = false;  // line drawing in place of letters
  bool shifted_ = false;
  bool cursor_ = false;  // its shape
};

}  // namespace moat
