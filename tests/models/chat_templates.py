"""Chat templates of the shapes that models are published with, in our own words. All must pass.

Each uses what its family's template uses of Jinja: namespaces, loop controls, macros, filters and
methods; none is a copy. ``SHAPES`` maps the family to its source.
"""

# ruff: noqa: E501 - a line break in a template is a line break in its prompt
from __future__ import annotations

CHATML = """\
{%- for message in messages %}
    {%- if loop.first and message['role'] != 'system' %}
        {{- '<|im_start|>system\\nBe of use.<|im_end|>\\n' }}
    {%- endif %}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""

QWEN2_5 = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content }}{%- else %}{{- 'Hi.' }}{%- endif %}
    {{- "\\n\\n# Tools\\n<tools>" }}
    {%- for tool in tools %}{{- "\\n" }}{{- tool | tojson }}{%- endfor %}
    {{- "\\n</tools>\\n{\\"name\\": <function-name>, \\"arguments\\": <args-json-object>}" }}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- elif message.role == "assistant" %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}{%- set tool_call = tool_call.function %}{%- endif %}
            {{- '{"name": "' ~ tool_call.name ~ '", "arguments": ' ~ tool_call.arguments|tojson }}
        {%- endfor %}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}{{- 'u' }}{%- endif %}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- 'e' }}{%- endif %}
    {%- endif %}
{%- endfor %}
"""

QWEN3 = """\
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string
        and not (message.content.startswith('<tool>') and message.content.endswith('</tool>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set reasoning_content = '' %}
    {%- if '</think>' in message.content %}
        {%- set reasoning_content = message.content.split('</think>')[0].rstrip('\\n')
            .split('<think>')[-1].lstrip('\\n') %}
        {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {%- if loop.index0 > ns.last_query_index %}{{- reasoning_content.strip('\\n') }}{%- endif %}
    {{- '<|im_start|>' + message.role + '\\n' + (content or message.content) }}
{%- endfor %}
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think></think>' }}{%- endif %}
"""

QWEN3_CODER = """\
{% macro render_extra_keys(json_dict, handled_keys) %}
    {%- if json_dict is mapping %}
        {%- for json_key in json_dict if json_key not in handled_keys %}
            {%- if json_dict[json_key] is mapping %}
                {{- '\\n<' ~ json_key ~ '>' ~ (json_dict[json_key] | tojson | safe) ~ '</' ~ json_key }}
            {%- else %}{{- json_dict[json_key] | string }}{%- endif %}
        {%- endfor %}
    {%- endif %}
{% endmacro %}
{%- for tool in tools or [] %}
    {%- for param_name, param_fields in tool.parameters.properties|items %}
        {{- render_extra_keys(param_fields, ['name', 'type']) }}
    {%- endfor %}
{%- endfor %}
"""

LLAMA_3_1 = """\
{{- bos_token }}
{%- if custom_tools is defined %}{%- set tools = custom_tools %}{%- endif %}
{%- if not tools_in_user_message is defined %}{%- set tools_in_user_message = true %}{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}{%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}{%- set system_message = "" %}{%- endif %}
{%- if builtin_tools is defined %}
    {{- "Tools: " + builtin_tools | reject('equalto', 'code_interpreter') | join(", ") + "\\n\\n" }}
{%- endif %}
{%- if tools is not none and tools_in_user_message and not messages | length != 0 %}
    {{- raise_exception("Cannot put tools in the first user message when there is none!") }}
{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start|>' + message['role'] + '<|end|>\\n\\n' + message['content'] | trim + '<|eot|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}{{- raise_exception("One at a time!") }}{%- endif %}
        {%- for arg_name, arg_val in message.tool_calls[0].function.arguments | items %}
            {{- arg_name + '="' + arg_val + '"' }}{%- if not loop.last %}{{- ", " }}{%- endif %}
        {%- endfor %}
        {{- tool | tojson(indent=4) }}
    {%- endif %}
{%- endfor %}
"""

MISTRAL = """\
{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}{%- set loop_messages = messages[1:] %}
{%- else %}{%- set loop_messages = messages %}{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or (message.tool_calls is defined
        and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("Roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" and tools is not none and (message == user_messages[-1]) %}
        {{- "[AVAILABLE_TOOLS] [" }}
        {%- for tool in tools %}
            {%- for key, val in tool.items() if key != "return" %}
                {%- if val is string %}{{- '"' + key + '": "' + val + '"' }}
                {%- else %}{{- '"' + key + '": ' + val|tojson }}{%- endif %}
                {%- if not loop.last %}{{- ", " }}{%- endif %}
            {%- endfor %}
        {%- endfor %}
    {%- elif message["role"] == "tool" %}
        {%- if not message.tool_call_id is defined or message.tool_call_id|length != 9 %}
            {{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}
        {%- endif %}
        {%- set content = message.content.content if message.content is mapping else message.content %}
        {{- '[TOOL_RESULTS] {"content": ' + content|string + ", " }}
    {%- endif %}
{%- endfor %}
"""

GEMMA = """\
{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '\\n\\n' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '\\n\\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}{%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- set role = "model" if message['role'] == 'assistant' else message['role'] -%}
    {{ '<start_of_turn>' + role + '\\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is iterable and message['content'] is not string -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}{{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}{{ item['text'] | trim }}{%- endif -%}
        {%- endfor -%}
    {%- else -%}{{ raise_exception("Invalid content type") }}{%- endif -%}
{%- endfor -%}
"""

PHI_3 = """\
{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}\
{{'<|system|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'user' %}\
{{'<|user|>\\n' + message['content'] + '<|end|>\\n'}}{% endif %}{% endfor %}\
{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}
"""

DEEPSEEK = """\
{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}
{% set ns = namespace(is_first=false, is_tool=false, system_prompt='', is_first_sp=true) %}
{%- for message in messages %}{%- if message['role'] == 'system' %}
    {%- if ns.is_first_sp %}{% set ns.system_prompt = ns.system_prompt + message['content'] %}
    {%- else %}{% set ns.system_prompt = ns.system_prompt + '\\n\\n' + message['content'] %}{%- endif %}
{%- endif %}{%- endfor %}
{{ bos_token }}{{ ns.system_prompt }}
{%- for message in messages %}
    {% set content = message['content'] %}
    {% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}
    {%- if message['role'] == 'tool' %}{% continue %}{%- endif %}
    {%- if ns.is_tool %}{% break %}{%- endif %}
    {%- for tool in message['tool_calls'] | default([]) %}
        {%- if not ns.is_first %}{{ tool['type'] + '\\n' + '```json' }}{%- set ns.is_first = true -%}
        {%- endif %}
    {%- endfor %}
{%- endfor -%}
"""

GPT_OSS = """\
{%- macro render_type(param_spec, required_params, is_nullable=false) -%}
    {%- if param_spec.type == "array" -%}
        {%- if param_spec['items'] -%}{{- render_type(param_spec['items'], required_params) + "[]" }}
        {%- endif %}
    {%- elif param_spec.type is defined and param_spec.type is iterable and param_spec.type is not string
        and param_spec.type[0] -%}
        {{- param_spec.type | join(" | ") }}
    {%- elif param_spec.oneOf -%}
        {%- set has_object_variants = false -%}
        {%- for variant in param_spec.oneOf -%}
            {%- set ns = namespace(found=variant.type == "object") -%}
            {{- render_type(variant, required_params) -}}{%- if not loop.last %}{{- " | " }}{% endif -%}
        {%- endfor -%}
    {%- else -%}any{%- endif -%}
{%- endmacro -%}
{%- if model_identity is undefined %}{%- set model_identity = "You are a model." %}{%- endif %}
{{- "Current date: " + strftime_now("%Y-%m-%d") + "\\n\\n" }}
{%- for tool in tools or [] %}
    {%- for param_name, spec in tool.parameters.properties.items() %}
        {{- param_name + ": " + render_type(spec, tool.parameters.required or []) }}
        {%- if spec.default is defined %}{{- ", // default: " + spec.default|tojson }}{%- endif %}
    {%- endfor %}
{%- endfor %}
"""

COHERE = """\
{%- macro document(item) %}{{ item.title | upper | replace('\\n', ' ') | truncate(80) }}{% endmacro %}
{%- set sections = messages | map(attribute='content') | select('string') | list %}
{%- set names = tools | default([], true) | map(attribute='function.name') | unique | sort %}
{%- for i in range(sections | length) %}{{ '%d: %s' | format(i, sections[i]) }}{%- endfor %}
{%- call(text) document({'title': 'x'}) %}{{ text }}{% endcall %}
{%- set block %}{% filter indent(4) %}{{ names | join(', ') }}{% endfilter %}{% endset %}
{{- block ~ dict(a=1)['a'] ~ ('-' * 40) }}
{%- generation %}{{ messages[-1].content | capitalize }}{% endgeneration %}
"""

SHAPES: dict[str, str] = {
    "chatml": CHATML,
    "qwen2.5": QWEN2_5,
    "qwen3": QWEN3,
    "qwen3-coder": QWEN3_CODER,
    "llama3.1": LLAMA_3_1,
    "mistral": MISTRAL,
    "gemma": GEMMA,
    "phi3": PHI_3,
    "deepseek": DEEPSEEK,
    "gpt-oss": GPT_OSS,
    "cohere": COHERE,
}
