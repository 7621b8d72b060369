// How a page, or a worker of one, hands in what the suite found. Its address says whom to tell.

const query = new URL(location.href).searchParams;
const home = query.get('home');

const violations = [];
addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI }) =>
  violations.push(`${effectiveDirective} ${blockedURI}`),
);

/** `look` takes the vectors, and returns the list of what was found. */
export async function report(look) {
  let answer;
  try {
    const vectors = await Promise.all(
      ['vectors', 'outside'].map(async (name) =>
        (await fetch(`${home}/vectors/${name}.json`)).text(),
      ),
    );
    answer = { found: await look(vectors, query), violations };
  } catch (error) {
    answer = { error: `${error} ${error?.stack}`, violations };
  }
  await fetch(`${home}/report${location.search}`, { method: 'POST', body: JSON.stringify(answer) });
}
