import{$ as e,D as t,X as n,Z as r,_ as i,f as a}from"./states-DAPrPaYw.js";var o=e(r(),1),s=n();function c({text:e,label:t,snippet:n}){return(0,s.jsxs)(`div`,{className:`code-box`,children:[(0,s.jsx)(a,{text:e}),(0,s.jsx)(`pre`,{tabIndex:0,"aria-label":t,"data-snippet":n,children:e})]})}var l=/^Accepted for compatibility|not supported here/i,u=[`prompt`,`image_size`,`num_inference_steps`,`guidance_scale`,`num_images`,`seed`],d=1e3,f=2**32-1,p={square_hd:[1024,1024],square:[512,512],portrait_4_3:[768,1024],portrait_16_9:[576,1024],landscape_4_3:[1024,768],landscape_16_9:[1024,576]};function m(e){let t=e.components.schemas,n=Object.values(e.paths).find(e=>e.post).post,r=S(n.requestBody.content[`application/json`].schema,t),i=r[`x-fal-order-properties`]??Object.keys(r.properties??{}),a=e=>u.includes(e)?u.indexOf(e):u.length;return i.map(e=>v(e,r.properties[e],r.required?.includes(e)??!1,t)).filter(e=>!l.test(e.schema.description??``)).filter(e=>e.schema.maxItems!==0).sort((e,t)=>a(e.name)-a(t.name))}function h(e){return Object.fromEntries(e.filter(({schema:e})=>e.default!==void 0).map(e=>[e.name,e.schema.default]))}function g(e,t){let n={};for(let{name:r,schema:i,required:a}of e){let e=t[r];e!=null&&(a||!_(e,i.default)&&e!==``)&&(n[r]=e)}return n}function _(e,t){return JSON.stringify(e)===JSON.stringify(t)}function v(e,t,n,r){let i=(t.anyOf??[t]).map(e=>S(e,r)).filter(e=>e.type!==`null`),a={...i[0],...S(y(t),r)},o=b(e,a,i);return{name:e,kind:o,schema:a,required:n,whole:a.type===`integer`,advanced:!n&&!u.includes(e)&&o!==`image`&&o!==`images`,presets:i.find(e=>e.enum)?.enum??[],sides:o===`size`?x(i):null}}function y({anyOf:e,...t}){return t}function b(e,t,n){return n.some(e=>e.properties?.width&&e.properties.height)?`size`:e===`seed`?`seed`:t.enum?`choice`:t.type===`boolean`?`switch`:t.type===`integer`||t.type===`number`?`number`:t.type===`string`?/(^|_)(image|mask)(_url)?$/.test(e)?`image`:(t.maxLength??0)>=d||e===`prompt`?`words`:`text`:t.type===`array`&&/image_urls$/.test(e)?`images`:t.type===`array`&&t.items?.properties?.path?`loras`:`json`}function x(e){let t=e.find(e=>e.properties?.width).properties.width,[n,r]=[t.minimum??1,t.maximum??2048];return n<r?{low:n,high:r}:null}function S(e,t){if(e.$ref){let{$ref:n,...r}=e;return{...S(t[n.split(`/`).at(-1)],t),...r}}return e.items?{...e,items:S(e.items,t)}:e}function C(e,t){return{python:{name:`Python`,file:`app.py`,run:`laterna exec -- python app.py`,code:w(e,t)},javascript:{name:`JavaScript`,file:`app.mjs`,run:`laterna exec -- node app.mjs`,code:T(e,t)},curl:{name:`cURL`,file:null,run:`eval "$(laterna env)"`,code:E(e,t)},openai:{name:`OpenAI`,file:`app.py`,run:`laterna exec -- python app.py`,code:D(e,t)},replicate:{name:`Replicate`,file:`app.py`,run:`laterna exec -- python app.py`,code:O(e,t)}}}function w(e,t){return`import fal_client  # pip install fal-client

result = fal_client.subscribe(
    ${JSON.stringify(e)},
    arguments=${A(t,4)},
)
for image in result["images"]:
    print(image["url"])
`}function T(e,t){return`import { createFalClient } from "@fal-ai/client"; // npm install @fal-ai/client

const { LATERNA_URL, FAL_KEY } = process.env;
const fal = createFalClient({ credentials: FAL_KEY, proxyUrl: { url: \`\${LATERNA_URL}/api/fal/proxy\`, when: "always" } });
const { data } = await fal.subscribe(${JSON.stringify(e)}, {
  input: ${JSON.stringify(t,null,2).replaceAll(`
`,`
  `)},
});
for (const image of data.images) console.log(image.url);
`}function E(e,t){return`curl "$LATERNA_URL/${e}" \\
  -H "Authorization: Key $FAL_KEY" \\
  -H "Content-Type: application/json" \\
  -d '${JSON.stringify(t,null,2).replaceAll(`'`,`'\\''`)}'
`}function D(e,t){let{prompt:n=``,num_images:r,image_size:i,sync_mode:a,output_format:o,...s}=t;return`from openai import OpenAI  # pip install openai

client = OpenAI()
made = client.images.generate(
${[`    model=${JSON.stringify(e)},`,`    prompt=${A(n,4)},`,...r===void 0?[]:[`    n=${r},`],...i===void 0?[]:[`    size="${k(i)}",`],...o===void 0?[]:[`    output_format=${JSON.stringify(o)},`],`    response_format="url",`,...Object.keys(s).length===0?[]:[`    extra_body=${A(s,4)},`]].join(`
`)}
)
for image in made.data:
    print(image.url)
`}function O(e,t){let[n,...r]=e.split(`/`);return`import replicate  # pip install replicate

made = replicate.run(
    ${JSON.stringify(`${n}/${r.join(`-`)}`)},
    input=${A(t,4)},
)
for file in made:
    print(file.url)
`}function k(e){let{width:t,height:n}=e,[r,i]=typeof e==`string`&&p[e]||[t,n];return`${r}x${i}`}function A(e,t){if(e==null)return`None`;if(typeof e==`boolean`)return e?`True`:`False`;if(typeof e!=`object`)return JSON.stringify(e);let[n,r]=Array.isArray(e)?[`[`,`]`]:[`{`,`}`],i=Array.isArray(e)?e.map(e=>A(e,t+4)):Object.entries(e).map(([e,n])=>`${JSON.stringify(e)}: ${A(n,t+4)}`);if(i.length===0)return n+r;let a=` `.repeat(t);return`${n}\n${i.map(e=>`${a}    ${e},\n`).join(``)}${a}${r}`}function j({id:e,input:n}){let{t:r}=t(),[a,l]=(0,o.useState)(`python`),u=C(e,n),d=u[a];return(0,s.jsxs)(s.Fragment,{children:[(0,s.jsx)(i,{label:r(`api.language`),value:a,onChange:l,options:Object.keys(u).map(e=>({value:e,text:u[e].name}))}),(0,s.jsx)(c,{text:d.code,label:d.name,snippet:a}),(0,s.jsxs)(`p`,{className:`muted`,children:[d.file?r(`api.file`,{file:d.file}):r(`api.shell`),`:`]}),(0,s.jsx)(c,{text:d.run,label:r(`api.shell`)})]})}export{h as a,m as i,f as n,g as o,p as r,c as s,j as t};