// A request as a curl command for a shell. A key is never written into it.

/** A text as one word of a POSIX shell. */
export const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The command. `hasKey` names the variable that chat and OpenAI's clients read the key from. */
export function curlOf({ address, method = "GET", body = null, hasKey = false }) {
  const isStream = Boolean(body?.stream);
  const parts = [`curl ${isStream ? "-N " : ""}${method === "GET" || body ? "" : `-X ${method} `}${quoted(address)}`];
  if (hasKey) parts.push('-H "Authorization: Bearer $OPENAI_API_KEY"');
  if (body) {
    parts.push("-H 'Content-Type: application/json'");
    parts.push(`-d ${quoted(JSON.stringify(body))}`);
  }
  return parts.join(" \\\n  ");
}
