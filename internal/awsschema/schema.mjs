// Usage: node schema.mjs LIBRARY OUT
//
// LIBRARY is the folder lib of a package of TypeScript bindings that was generated
// from one version of Terraform's AWS provider. Each binding repeats, for every
// attribute and block, its name, type, nesting and whether it is required, optional
// or computed. This reads them back and writes the schema in the form of
// `terraform providers schema -json`, for the families of resources that modules
// of ours use or must not use.
import fs from 'node:fs';
import path from 'node:path';

const families = /^(aws|aws-provider|provider|s3|s3control|kms|iam|organizations|vpc|subnet|subnets|security-group|route-table|route|network|internet-gateway|rds|db|ebs|instance|launch-template|region|regions|caller-identity|partition|availability-zones?|secretsmanager|backup|dynamodb|ecr|ami|flow-log)(-|$)/;
const primitives = { string: 'string', number: 'number', boolean: 'bool' };

/** Classes of a binding by name: what each extends, and its text. */
function classesOf(js) {
  const found = {};
  for (const m of js.matchAll(/^class (\w+) extends ([\w.]+) \{$/gm)) {
    found[m[1]] = { base: m[2].split('.').pop(), text: js.slice(m.index, js.indexOf('\n}\n', m.index)) };
  }
  return found;
}

/** What an `attrs` literal says of each attribute: { value, block, type, storage }. */
function literalOf(text) {
  const out = {};
  for (const m of text.matchAll(/^\s+(\w+): \{\n\s+value: (.*),\n\s+isBlock: (true|false),\n\s+type: "(\w+)",\n\s+storageClassType: "(\w+)",/gm)) {
    out[m[1]] = { value: m[2], block: m[3] === 'true', type: m[4], storage: m[5] };
  }
  return out;
}

/** The literal of the function that writes a nested struct, named in a value. */
function nestedLiteral(js, value) {
  const fn = (value ?? '').match(/\w+ToHclTerraform/g)?.find((n) => !/^(string|number|boolean|any)ToHcl/.test(n));
  const at = fn ? js.indexOf(`function ${fn}(`) : -1;
  return at < 0 ? {} : literalOf(js.slice(at, js.indexOf('\n}\n', at)));
}

/** The type of an attribute that holds no struct: from its literal, else from its getter. */
function plainType(getter, lit) {
  if (lit) {
    if (primitives[lit.storage]) return primitives[lit.storage];
    const inner = primitives[lit.storage.match(/^(string|number|boolean)(List|Map|Set)/)?.[1]];
    if (!inner) return 'dynamic';
    const deep = (lit.value.match(/listMapperHcl|hashMapperHcl/g) ?? []).length === 2;
    return [lit.type, deep ? [/hashMapperHcl\(\w+\.listMapperHcl/.test(lit.value) ? 'list' : 'map', inner] : inner];
  }
  const list = /Fn\.tolist/.test(getter) ? 'set' : 'list';
  for (const [what, type] of [['getStringAttribute', 'string'], ['getNumberAttribute\\(', 'number'], ['getBooleanAttribute\\(', 'bool'],
    ['getNumberListAttribute', [list, 'number']], ['getListAttribute', [list, 'string']], ['StringMap\\(|getStringMapAttribute', ['map', 'string']],
    ['NumberMap\\(|getNumberMapAttribute', ['map', 'number']], ['BooleanMap\\(|getBooleanMapAttribute', ['map', 'bool']]]) {
    if (new RegExp(what).test(getter)) return type;
  }
  return 'dynamic';
}

/** A block's type as that of an attribute. */
function objectType(block) {
  const fields = Object.fromEntries(Object.entries(block.attributes).map(([k, v]) => [k, v.type]));
  for (const [k, v] of Object.entries(block.block_types ?? {})) fields[k] = [v.nesting_mode === 'single' ? 'list' : v.nesting_mode, objectType(v.block)];
  return ['object', fields];
}

/** One class as a block. Each attribute begins with a comment of its name and flags. */
function blockOf(js, classes, text, literal) {
  const out = { attributes: {} };
  for (const m of text.matchAll(/\/\/ (\w+) - computed: (true|false), optional: (true|false), required: (true|false)\n([\s\S]*?)(?=\n {4}\/\/ \w+ - computed:|\n {4}\/\/ =====|$)/g)) {
    const [, name, computed, optional, required, code] = m;
    const flags = { ...(computed === 'true' && { computed: true }), ...(optional === 'true' && { optional: true }), ...(required === 'true' && { required: true }) };
    const lit = literal[name];
    const holder = code.match(/_\w+ = new (\w+)\(this, ["']\w+["'](?:, (true|false))?\)/);
    const cls = holder && classes[holder[1]];
    if (!cls) {
      if (lit?.block) (out.block_types ??= {})[name] = unflagged(js, lit);
      else out.attributes[name] = { type: plainType(code, lit), ...flags };
      continue;
    }
    const many = /Complex(List|Map)$/.test(cls.base);
    const inner = many ? classes[holder[1].replace(/(List|Map)$/, 'OutputReference')] : cls;
    const block = blockOf(js, classes, inner?.text ?? '', nestedLiteral(js, lit?.value));
    if (!lit?.block) {
      out.attributes[name] = { type: [holder[2] === 'true' ? 'set' : 'list', objectType(block)], ...flags };
      continue;
    }
    const mode = { struct: 'single', set: 'set', map: 'map' }[lit.type] ?? 'list';
    if (flags.computed) { // a block that may also be read: an attribute that takes block syntax
      out.attributes[name] = { type: [mode === 'single' ? 'list' : mode, objectType(block)], ...flags };
      continue;
    }
    const limits = mode === 'single' ? {} : { ...(flags.required && { min_items: 1 }), ...(!many && { max_items: 1 }) };
    (out.block_types ??= {})[name] = { nesting_mode: mode, ...limits, block };
  }
  return out;
}

/** Blocks of the provider's own configuration carry no flags: all is optional. */
function unflagged(js, lit) {
  const block = { attributes: {} };
  for (const [name, inner] of Object.entries(nestedLiteral(js, lit.value))) {
    if (inner.block) (block.block_types ??= {})[name] = unflagged(js, inner);
    else block.attributes[name] = { type: plainType('', inner), optional: true };
  }
  return { nesting_mode: lit.type === 'set' ? 'set' : 'list', block };
}

const [library, out] = process.argv.slice(2);
const schema = { version: '', provider: null, resource_schemas: {}, data_source_schemas: {} };
for (const folder of fs.readdirSync(library)) {
  const file = path.join(library, folder, 'index.js');
  if (!families.test(folder.replace(/^data-aws-/, '')) || !fs.existsSync(file)) continue;
  const js = fs.readFileSync(file, 'utf8').replace(/\n\/\/# sourceMapping[\s\S]*$/, '');
  const classes = classesOf(js);
  const main = Object.values(classes).find((c) => /^Terraform(Resource|DataSource|Provider)$/.test(c.base));
  if (!main) continue;
  const block = blockOf(js, classes, main.text, literalOf(main.text.slice(main.text.indexOf('synthesizeHclAttributes'))));
  const name = js.match(/tfResourceType = "(\w+)"/)?.[1];
  schema.version ||= js.match(/providerVersion: '([0-9.]+)'/)?.[1] ?? '';
  if (main.base === 'TerraformProvider') {
    for (const a of Object.values(block.attributes)) if (!a.required) a.optional = true;
    schema.provider = { block };
  } else schema[main.base === 'TerraformResource' ? 'resource_schemas' : 'data_source_schemas'][name] = { block };
}
const counts = [Object.keys(schema.resource_schemas).length, Object.keys(schema.data_source_schemas).length];
if (!schema.version || !schema.provider || counts[0] < 100) throw new Error(`the bindings are not of the known form: ${counts}, version ${schema.version}`);
fs.writeFileSync(out, JSON.stringify(schema));
console.log(`AWS provider ${schema.version}: ${counts[0]} resources, ${counts[1]} data sources`);
