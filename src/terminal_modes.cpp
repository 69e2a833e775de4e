#include "terminal_modes.h"

#include <algorithm>
#include <iterator>

#include "core/text.h"

namespace moat {
namespace {

// DECSET's modes that a program may leave behind, and how each is when nothing was changed.
struct PrivateMode {
  unsigned number;
  bool usual;
};
constexpr PrivateMode private_modes[] = {
    {1, false},                                   // cursor keys send application sequences
    {5, false},                                   // reverse video
    {6, false},                                   // origin mode
    {7, true},                                    // lines wrap
    {9, false},                                   // mouse, as X10 has it
    {25, true},                                   // the cursor is shown
    {47, false},                                  // the alternate screen, in three ways
    {66, false},                                  // application keypad
    {1000, false},                                // mouse: buttons
    {1001, false},                                //   highlight
    {1002, false},                                //   dragging
    {1003, false},                                //   every motion
    {1004, false},                                // focus
    {1005, false},                                // mouse in UTF-8
    {1006, false},                                //   in decimal
    {1015, false},                                //   in urxvt's way
    {1016, false},                                //   in pixels
    {1047, false}, {1049, false}, {2004, false},  // bracketed paste
    {2026, false},                                // synchronized output
    {2031, false},                                // reports of light and dark
    {2048, false},                                // reports of the size
};
static_assert(std::size(private_modes) <= 32);

constexpr unsigned alternate_screens[] = {47, 1047, 1049};
constexpr unsigned most_pushed = 99;

bool is_alternate_screen(unsigned number) {
  return std::find(std::begin(alternate_screens), std::end(alternate_screens), number) !=
         std::end(alternate_screens);
}

unsigned number_of(std::string_view text, unsigned otherwise) {
  return static_cast<unsigned>(parse_number(text, 0, 1'000'000).value_or(otherwise));
}

std::string leave_private(size_t place) {
  const PrivateMode& mode = private_modes[place];
  return format("\x1b[?%u%c", mode.number, mode.usual ? 'h' : 'l');
}

}  // namespace

bool TerminalModes::feed(std::string_view bytes) {
  const std::string before = undo();
  for (const char byte : bytes) {
    const auto code = static_cast<unsigned char>(byte);
    switch (state_) {
      case State::ground:
        control(byte);
        break;
      case State::escape:
        escape(byte);
        break;
      case State::designate:
        state_ = State::ground;
        if (designated_ == '(') graphics_ = byte == '0';
        break;
      case State::sequence:
        if (code >= 0x40 && code <= 0x7e) {
          state_ = State::ground;
          if (!overlong_) end_sequence(byte);
        } else if (code >= 0x20 && code < 0x40) {
          if (sequence_.size() < max_sequence) {
            sequence_ += byte;
          } else {
            overlong_ = true;
          }
        } else {
          control(byte);  // within a sequence they count as before it
        }
        break;
      case State::string:
        if (code == 0x1b) {
          state_ = State::string_escape;
        } else if (code == 0x07 || code == 0x18 || code == 0x1a) {
          state_ = State::ground;
        }
        break;
      case State::string_escape:
        state_ = State::escape;
        escape(byte);
        break;
    }
  }
  return undo() != before;
}

void TerminalModes::control(char byte) {
  switch (byte) {
    case 0x1b:
      state_ = State::escape;
      break;
    case 0x18:
    case 0x1a:
      state_ = State::ground;
      break;
    case 0x0e:
      shifted_ = true;
      break;
    case 0x0f:
      shifted_ = false;
      break;
    default:
      break;
  }
}

void TerminalModes::escape(char byte) {
  state_ = State::ground;
  switch (byte) {
    case '[':
      state_ = State::sequence;
      sequence_.clear();
      overlong_ = false;
      break;
    case ']':
    case 'P':
    case 'X':
    case '^':
    case '_':
      state_ = State::string;
      break;
    case '(':
    case ')':
    case '*':
    case '+':
    case '#':
    case '%':
    case ' ':
      state_ = State::designate;
      designated_ = byte;
      break;
    case '=':
      keypad_ = true;
      break;
    case '>':
      keypad_ = false;
      break;
    case 'c':
      reset();
      break;
    default:
      control(byte);
      break;
  }
}

void TerminalModes::end_sequence(char final) {
  const std::string_view all = sequence_;
  const char prefix = all.empty() || all.front() < '<' || all.front() > '?' ? '\0' : all.front();
  const std::string_view numbers = all.substr(prefix == '\0' ? 0 : 1);
  if (prefix == '?' && (final == 'h' || final == 'l')) {
    set_private_modes(numbers, final == 'h');
  } else if (final == 'u' && prefix != '\0') {
    kitty_keyboard(prefix, numbers);
  } else if (prefix == '>' && final == 'm') {
    const auto parts = split(numbers, ';');
    if (parts[0] == "4") other_keys_ = parts.size() > 1 && number_of(parts[1], 0) != 0;
    if (parts[0].empty()) other_keys_ = false;
  } else if (prefix == '\0' && final == 'm') {
    // A reset that comes first in a list is followed by something.
    attributes_ = !numbers.empty() && numbers != "0" && !numbers.ends_with(";0");
  } else if (prefix == '\0' && final == 'r') {
    region_ = !numbers.empty();
  } else if (final == 'q' && numbers.ends_with(" ")) {
    cursor_ = number_of(numbers.substr(0, numbers.size() - 1), 0) != 0;
  } else if (all == "!" && final == 'p') {
    const bool alternate = alternate_;
    const uint32_t changed = changed_;
    reset();  // the soft one leaves the screen and the mouse as they are
    alternate_ = alternate;
    changed_ = changed;
    set_private_modes("1;6", false);
    set_private_modes("7;25", true);
  }
}

void TerminalModes::set_private_modes(std::string_view numbers, bool on) {
  for (const std::string_view text : split(numbers, ';')) {
    const unsigned number = number_of(text, 0);
    for (size_t place = 0; place < std::size(private_modes); ++place) {
      if (private_modes[place].number != number) continue;
      const uint32_t bit = uint32_t{1} << place;
      changed_ = on == private_modes[place].usual ? changed_ & ~bit : changed_ | bit;
      if (is_alternate_screen(number)) alternate_ = on;
    }
  }
}

void TerminalModes::kitty_keyboard(char prefix, std::string_view numbers) {
  unsigned& pushed = keyboard_[alternate_ ? 1 : 0];
  const auto parts = split(numbers, ';');
  if (prefix == '>') {
    pushed = std::min(pushed + 1, most_pushed);
  } else if (prefix == '<') {
    pushed -= std::min(pushed, std::max(number_of(parts[0], 1), 1U));
  } else if (prefix == '=') {
    // Set without being pushed: undone by the same, which is one that is popped as well.
    pushed = std::max(pushed, number_of(parts[0], 0) != 0 ? 1U : 0U);
  }
}

void TerminalModes::reset() {
  const State state = state_;
  *this = TerminalModes();
  state_ = state;
}

std::string TerminalModes::undo() const {
  // A sequence that was cut short would swallow the first of these.
  std::string text(state_ == State::ground ? 0 : 1, '\x18');
  const auto keyboard = [&](size_t screen) {
    if (keyboard_[screen] > 0) text += format("\x1b[<%uu\x1b[=0;1u", keyboard_[screen]);
  };
  // On the screen that is shown, then on the one below it.
  if (alternate_) keyboard(1);
  for (size_t place = 0; place < std::size(private_modes); ++place) {
    if ((changed_ >> place & 1) != 0) text += leave_private(place);
  }
  keyboard(0);
  if (keypad_) text += "\x1b>";
  if (other_keys_) text += "\x1b[>4;0m";
  if (graphics_) text += "\x1b(B";
  if (shifted_) text += '\x0f';
  if (region_)
    text +=
        "\x1b"
        "7\x1b[r\x1b"
        "8";
  if (cursor_) text += "\x1b[0 q";
  if (attributes_) text += "\x1b[m";
  return text;
}

}  // namespace moat
