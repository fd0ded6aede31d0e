// Tokens of a text on the page, shaded by how likely each was. Knows no run and no server.

const DOUBTS = [0.5, 0.2, 0.05, 0.01, 0.001];  // a token less likely than these is shaded one degree more each

// One text on the page, its tokens each in a span once the server has said where they end.
class TokenText {
  constructor(node) {
    Object.assign(this, {node, spans: [], tokens: [], rest: document.createTextNode('')});
    node.append(this.rest);
  }

  // `pieces`: what each of the first tokens completes of the text, or null; `logprobs`: of all tokens, in nats.
  show(text, pieces, logprobs) {
    const [tokens, end] = wholeTokens(text, pieces ?? [], logprobs);
    tokens.forEach((token, i) => {
      const span = this.spans[i] ?? this.add();
      setText(span, token.text);
      if (span.dataset.doubt !== token.doubt) span.dataset.doubt = token.doubt;
    });
    while (this.spans.length > tokens.length) this.spans.pop().remove();
    if (this.rest.data !== text.slice(end)) this.rest.data = text.slice(end);
    this.tokens = tokens;
  }

  add() {
    const span = make('span', 'token');
    this.rest.before(span);
    this.spans.push(span);
    return span;
  }
}

// The tokens of a text, each with its probability, and how far they reach. Those that only together make a character
// are one, as likely as all of them, whose number is that of the `first`; what cannot be matched with the text (a stop string cut it) is left over.
function wholeTokens(text, pieces, logprobs) {
  const tokens = [];
  let end = 0, logprob = 0, first = 0;
  for (let i = 0; i < pieces.length; i++) {
    logprob = logprob === null || logprobs[i] == null ? null : logprob + logprobs[i];
    if (pieces[i] === '') continue;
    if (!text.startsWith(pieces[i], end)) break;
    const probability = logprob === null ? null : Math.exp(logprob);
    const doubt = probability === null ? 0 : DOUBTS.filter(limit => probability < limit).length;
    tokens.push({text: pieces[i], probability, doubt: String(doubt), first});
    end += pieces[i].length;
    [logprob, first] = [0, i + 1];
  }
  return [tokens, end];
}

function percent(share) {
  if (share >= 0.995 && share < 1) return 'over 99';
  if (share >= 0.01) return String(Math.round(100 * share));
  return share < 0.0005 ? 'under 0.1' : (100 * share).toFixed(1);
}
