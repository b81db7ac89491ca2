#include "tests/permute/zoo_net.h"

// Values that a subgraph reads from outside.
namespace espalier::testing {
namespace {

const Dims kImage = {2, 4, 6, 6};

// Whether the mean of x is above zero, as an If wants it.
std::string MeanIsPositive(ZooNet* net, const std::string& x) {
  const std::string mean =
      net->Op("ReduceMean", {x, net->Ints({0, 1, 2, 3})}, {{"keepdims", Num(0)}});
  return net->Op("Greater", {mean, net->Float(0)});
}

// If with a branch "-h" and a branch "h + h".
std::string Choose(ZooNet* net, const std::string& condition, const std::string& h) {
  const std::string chosen = net->Op("If", {condition});
  GraphBuilder& builder = net->builder();
  const int yes = builder.AddScope(Scope::Kind::kSubgraph, 0);
  const int no = builder.AddScope(Scope::Kind::kSubgraph, 0);
  builder.Subgraph("then_branch", yes).Subgraph("else_branch", no);
  builder.Add("Neg", {h}, {"negated"}, {}, yes).Output("negated", yes);
  builder.Add("Add", {h, h}, {"doubled"}, {}, no).Output("doubled", no);
  return chosen;
}

ZooGraph IfCaptures() {
  ZooNet net("if_captures");
  const std::string x = net.Input(kImage);
  const std::string condition = MeanIsPositive(&net, x);
  const std::string h = Choose(&net, condition, net.ConvBnRelu(x, 4, 16));
  return net.Done(net.Conv(h, 16, 8), false, "If");
}

ZooGraph IfThenFree() {
  ZooNet net("if_then_free");
  const std::string x = net.Input(kImage);
  const std::string condition = MeanIsPositive(&net, x);
  std::string h = net.Conv(net.ConvBnRelu(x, 4, 12), 12, 16);
  h = net.ConvBnRelu(Choose(&net, condition, h), 16, 16);
  return net.Done(net.Conv(h, 16, 8), true, "If");
}

// Three rounds of state = state / 2 + h.
std::string Decay(ZooNet* net, const std::string& start, const std::string& h) {
  const std::string trips = net->Store(IntScalar(3)), half = net->Float(0.5F);
  const std::string last = net->Op("Loop", {trips, "", start});
  GraphBuilder& builder = net->builder();
  const int body = builder.AddScope(Scope::Kind::kSubgraph, 0);
  builder.Subgraph("body", body);
  builder.Input("round", Dims{}, body).Input("go", Dims{}, body);
  builder.graph().scopes[body].inputs[0].dtype = DType::kInt64;
  builder.graph().scopes[body].inputs[1].dtype = DType::kBool;
  builder.Input("state", Dims{2, 16, 6, 6}, body);
  builder.Add("Identity", {"go"}, {"again"}, {}, body).Output("again", body);
  builder.graph().scopes[body].outputs[0].dtype = DType::kBool;
  builder.Add("Mul", {"state", half}, {"halved"}, {}, body);
  builder.Add("Add", {"halved", h}, {"next"}, {}, body).Output("next", body);
  return last;
}

ZooGraph LoopCaptures() {
  ZooNet net("loop_captures");
  const std::string x = net.Input(kImage);
  const std::string a = net.ConvBnRelu(x, 4, 16), b = net.PRelu(net.Conv(x, 4, 16), 16);
  return net.Done(net.Conv(Decay(&net, a, b), 16, 8), false, "Loop");
}

ZooGraph LoopThenFree() {
  ZooNet net("loop_then_free");
  std::string h = net.ConvBnRelu(net.Input(kImage), 4, 16);
  h = net.ConvBnRelu(Decay(&net, h, net.Op("Tanh", {h})), 16, 12);
  return net.Done(net.Conv(h, 12, 8), true, "Loop");
}

}  // namespace

void AddScopes(std::vector<ZooGraph>* zoo) {
  zoo->insert(zoo->end(), {IfCaptures(), IfThenFree(), LoopCaptures(), LoopThenFree()});
}

}  // namespace espalier::testing
