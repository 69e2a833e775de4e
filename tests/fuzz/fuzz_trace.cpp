// A record may come from anywhere: whatever an exchange says of itself, what is made of it for
// other programs is JSON, and what is made of it for people commands no terminal.
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/json.h"
#include "core/text.h"
#include "exchange_text.h"
#include "har.h"
#include "otlp.h"
#include "stages.h"
#include "terminal_text.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string shown = moat::terminal_json(input);
  moat::TerminalText terminal;
  for (const std::string_view piece : moat::split(input, 'n')) {
    const std::string text = terminal.add(piece);
    if (moat::printable(text, true) != text) abort();
  }
  const auto exchange = moat::Json::parse(input);
  if (!exchange) return 0;
  if (const auto same = moat::Json::parse(shown); !same || same->text() != exchange->text())
    abort();

  std::string archive;
  moat::HarWriter har({}, [&archive](std::string_view text) { archive += text; });
  har.add(exchange->view());
  har.finish();
  if (const auto made = moat::Json::parse(archive); !made) abort();

  const auto stages = moat::nest({}, {moat::stage_of(exchange->view())}, size);
  moat::OtlpWriter otlp({}, [](std::string_view request) {
    if (const auto made = moat::Json::parse(request); !made) abort();
    return moat::Result<void>();
  });
  if (!otlp.add(exchange->view(), stages) || !otlp.add_stages({}, stages) || !otlp.flush()) abort();

  const std::string told = moat::exchange_line(exchange->view()) +
                           moat::exchange_details(exchange->view()) +
                           moat::stage_line(stages.front(), 1);
  if (moat::printable(told, true) != told) abort();
  return 0;
}
