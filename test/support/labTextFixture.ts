/** Text of a small lab in the format of `labs/notebook`, with the steps of `courseFixture`. */
export const labTextFixture = `---
jupyter:
  kernelspec:
    name: tslab
---
# KV-aware routing

A router that knows which **KV blocks** each worker holds sends a request where most of its prompt is already computed.

\`\`\`typescript
import { k8s, lab, show } from '@dynamo-labs/kit';
\`\`\`

## Install NATS with JetStream

Workers publish their KV events through NATS. Install it into the namespace \`nats-system\`.

\`\`\`typescript dynamo_labs={"step":"nats","role":"task"}
const manifest = \`
apiVersion: v1
kind: Namespace
metadata:
  name: nats-system
\`;
console.log(manifest.trim().split('\\n').length, 'lines');
\`\`\`

## Deploy the graph

One frontend in router mode \`kv\` and two workers.

\`\`\`typescript dynamo_labs={"step":"deploy","role":"task"}
const replicas = 2;
\`\`\`

See what runs now:

\`\`\`typescript
await show.topology()
\`\`\`

## Send the first request

\`\`\`typescript dynamo_labs={"step":"first-request"}
await lab.step('03-kv-aware-routing', 'first-request').check()
\`\`\`

What do you expect the second request to do?
`;
