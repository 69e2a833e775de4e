// Recorded exchanges through the whole proxy, with the bytes of either side cut at every offset,
// and with the connection of either side lost at every offset.
#include <string>
#include <utility>
#include <vector>

#include "http1_log.h"

#include "wall.h"

using namespace moat;
using namespace moat::proxy;
using moat::test::Peer;
using moat::test::Wall;

namespace {

struct Play {
  const char* name;
  const char* method;
  std::string request;
  // When the origin has all of the first, it says the second.
  std::vector<std::pair<std::string, std::string>> replies;
};

const std::string host = "Host: api.example.com\r\n";

const std::vector<Play> plays = {
    {"GET",
     "GET",
     "GET /a?b=c HTTP/1.1\r\n" + host + "Accept: */*\r\nX: y\r\n\r\n",
     {{"X: y\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX-Y: z\r\n\r\nhello world"}}},
    {"POST in chunks with trailers",
     "POST",
     "POST /a HTTP/1.1\r\n" + host +
         "TE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
         "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-Sum: 42\r\n\r\n",
     {{"X-Sum: 42\r\n\r\n",
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\nX-T: "
       "1\r\n\r\n"}}},
    {"100-continue",
     "PUT",
     "PUT /a HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
     {{"\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"},
      {"hello", "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok"}}},
    {"early hints",
     "GET",
     "GET / HTTP/1.1\r\n" + host + "\r\n",
     {{"\r\n\r\n",
       "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
       "2\r\n\r\nok"}}},
    {"HEAD",
     "HEAD",
     "HEAD / HTTP/1.1\r\n" + host + "\r\n",
     {{"\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"}}},
    {"204",
     "DELETE",
     "DELETE /a HTTP/1.1\r\n" + host + "\r\n",
     {{"\r\n\r\n", "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"}}},
    {"304",
     "GET",
     "GET / HTTP/1.1\r\n" + host + "If-None-Match: \"e\"\r\n\r\n",
     {{"\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\nContent-Length: 77\r\n\r\n"}}},
    {"pipelined",
     "GET",
     "GET /1 HTTP/1.1\r\n" + host + "\r\nPOST /2 HTTP/1.1\r\n" + host +
         "Content-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\n" + host + "\r\n",
     {{"/1 HTTP/1.1\r\n" + host + "\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"},
      {"\r\n\r\nabc", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n"},
      {"/3 HTTP/1.1\r\n" + host + "\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthree"}}},
    {"upgrade",
     "GET",
     "GET /ws HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
     {{"\r\n\r\n",
       "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi"}}},
};

// One performance: the origin's part, which may stop at an offset of all that it says.
struct Stage {
  explicit Stage(Wall& on_wall, const Play& of_play) : wall(on_wall), play(of_play) {
    wall.origin.script = [this](Peer& peer) { hear(peer); };
    accepted = wall.origin.accepted;
  }
  ~Stage() {
    wall.origin.script = [](Peer&) {};
  }
  void hear(Peer& peer) {
    if (wall.origin.accepted == accepted) return;
    if (lost) return peer.transport.close();
    origin = &peer;
    heard += peer.received;
    unanswered += std::exchange(peer.received, {});
    while (next < play.replies.size()) {
      const auto& [trigger, reply] = play.replies[next];
      const size_t at = unanswered.find(trigger);
      if (at == std::string::npos) return;
      unanswered.erase(0, at + trigger.size());
      ++next;
      say(reply);
    }
  }
  void say(const std::string& bytes) {
    to_say += bytes;
    const size_t now = stop > said ? std::min(to_say.size(), stop - said) : 0;
    if (now > 0) origin->transport.write(to_say.substr(0, now));
    to_say.erase(0, now);
    said += now;
  }
  void go_on() {
    stop = SIZE_MAX;
    if (origin != nullptr) say("");
  }
  // Everything that is under way arrives.
  void settle() const {
    for (int i = 0; i < 8; ++i) wall.loop.turn(Milliseconds(0));
  }
  [[nodiscard]] bool stopped() const { return said == stop; }

  Wall& wall;
  const Play& play;
  int accepted = 0;
  bool lost = false;  // it says nothing on another connection either
  Peer* origin = nullptr;
  size_t next = 0;
  size_t stop = SIZE_MAX;
  size_t said = 0;
  std::string to_say;
  std::string heard;
  std::string unanswered;
};

std::string all_replies(const Play& play) {
  std::string all;
  for (const auto& reply : play.replies) all += reply.second;
  return all;
}

std::string answers_in(const Play& play, std::string_view bytes) {
  return read_messages(Http1Reader::Role::responses, bytes, SIZE_MAX, SIZE_MAX, play.method);
}

std::string requests_in(std::string_view bytes) {
  return read_messages(Http1Reader::Role::requests, bytes);
}

size_t ends_in(const std::string& log) {
  size_t ends = 0;
  for (size_t at = 0; (at = log.find("\nend\n", at)) != std::string::npos; ++at) ++ends;
  return ends;
}

struct Heard {
  std::string by_agent;
  std::string by_origin;
};

void clear(Wall& t) {
  t.agents.clear();
  t.origin.peers.clear();
  t.until([&] { return t.sessions.empty() && t.upstream->idle() == 0; });
  t.recorder.exchanges.clear();
}

bool is_whole(const Play& play, const Stage& stage, Peer& agent, const Heard& expected) {
  return answers_in(play, agent.received) == expected.by_agent &&
         requests_in(stage.heard) == expected.by_origin;
}

// Uncut; what each side then has heard.
Heard perform(Wall& t, const Play& play) {
  Stage stage(t, play);
  Peer& agent = t.connect("api.example.com", 80);
  agent.say(play.request);
  const size_t all = all_replies(play).size();
  t.until([&] { return stage.said == all; });
  stage.settle();
  t.until([&] { return ends_in(answers_in(play, agent.received)) > 0 || agent.has("\r\n\r\nhi"); });
  stage.settle();
  return {answers_in(play, agent.received), requests_in(stage.heard)};
}

// Every offset of the request, and of the response, once.
template <class Perform>
void at_every_offset(Wall& t, Perform body) {
  for (const Play& play : plays) {
    const Heard expected = perform(t, play);
    clear(t);
    assert_true(ends_in(expected.by_agent) + (expected.by_agent.rfind("101", 0) == 0) > 0);
    for (size_t cut = 0; cut < play.request.size(); ++cut) {
      const bool right = body(play, expected, cut, SIZE_MAX);
      if (!right) print_error("%s: the request at %zu\n", play.name, cut);
      assert_true(right);
    }
    const size_t said = all_replies(play).size();
    for (size_t cut = 0; cut < said; ++cut) {
      const bool right = body(play, expected, SIZE_MAX, cut);
      if (!right) print_error("%s: the response at %zu\n", play.name, cut);
      assert_true(right);
    }
  }
}

void cuts_anywhere_change_nothing(Wall& t) {
  t.the_world();
  at_every_offset(t,
                  [&t](const Play& play, const Heard& expected, size_t request, size_t response) {
                    {
                      Stage stage(t, play);
                      stage.stop = response;
                      Peer& agent = t.connect("api.example.com", 80);
                      agent.say(play.request.substr(0, request));
                      stage.settle();
                      if (request < play.request.size()) agent.say(play.request.substr(request));
                      if (response != SIZE_MAX)
                        t.until([&] { return stage.stopped() && stage.next > 0; });
                      stage.settle();
                      stage.go_on();
                      if (!t.until([&] { return is_whole(play, stage, agent, expected); })) {
                        print_error("%s\n%s\n", answers_in(play, agent.received).c_str(),
                                    requests_in(stage.heard).c_str());
                        return false;
                      }
                    }
                    clear(t);
                    return true;
                  });
}

// An agent that goes away: no origin sees a whole request where there was none, and nothing stays.
void an_agent_lost_anywhere_leaves_no_whole_request(Wall& t) {
  t.the_world();
  at_every_offset(t, [&t](const Play& play, const Heard&, size_t request, size_t response) {
    if (request == SIZE_MAX) return response != SIZE_MAX;
    {
      Stage stage(t, play);
      Peer& agent = t.connect("api.example.com", 80);
      agent.say(play.request.substr(0, request));
      stage.settle();
      if (request % 2 == 0) {
        agent.transport.close();
      } else {
        agent.transport.reset();
      }
      if (!t.until([&] { return t.sessions.empty(); })) return false;
      stage.settle();
      const std::string had = requests_in(std::string_view(play.request).substr(0, request));
      if (ends_in(requests_in(stage.heard)) > ends_in(had)) return false;
      for (const Exchange& told : t.recorder.exchanges) {
        if (told.complete && told.status == 0) return false;
      }
    }
    clear(t);
    return true;
  });
}

// An origin that goes away: no agent takes a part for the whole. It gets a 502, or sees the end of
// its connection where the answer goes on.
void an_origin_lost_anywhere_is_seen_to_be(Wall& t) {
  t.the_world();
  at_every_offset(t, [&t](const Play& play, const Heard&, size_t request, size_t response) {
    if (response == SIZE_MAX) return request != SIZE_MAX;
    {
      Stage stage(t, play);
      stage.stop = response;
      Peer& agent = t.connect("api.example.com", 80);
      agent.say(play.request);
      t.until([&] { return stage.next > 0 && stage.stopped(); });
      stage.settle();
      if (response % 2 == 0) {
        stage.origin->transport.close();
      } else {
        stage.origin->transport.reset();
      }
      stage.lost = true;
      const std::string said = all_replies(play).substr(0, response);
      const size_t had = ends_in(answers_in(play, said));
      const bool tunnel = said.rfind("HTTP/1.1 101", 0) == 0 && said.find("\r\n\r\n") < said.size();
      if (!t.until([&] { return agent.gone() || agent.has("HTTP/1.1 502 Bad Gateway\r\n"); }))
        return tunnel;
      stage.settle();
      const std::string got = answers_in(play, agent.received);
      size_t refusals = 0;  // each request that was pipelined gets its own
      for (size_t at = 0; (at = agent.received.find("HTTP/1.1 502 ", at)) != std::string::npos;
           ++at)
        ++refusals;
      if (ends_in(got) > had + refusals) {
        print_error("%s\n", agent.received.c_str());
        return false;
      }
    }
    clear(t);
    return true;
  });
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      MOAT_TEST(Wall, cuts_anywhere_change_nothing),
      MOAT_TEST(Wall, an_agent_lost_anywhere_leaves_no_whole_request),
      MOAT_TEST(Wall, an_origin_lost_anywhere_is_seen_to_be),
  };
  return cmocka_run_group_tests_name("proxy/playbook", tests, nullptr, nullptr);
}
